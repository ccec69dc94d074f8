package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Row is one example. Which fields are set follows from Kind.
type Row struct {
	Line int // where the row starts in the uploaded file, from 1; of a canonical file in Read. The row's number in Parquet.
	Kind Kind

	Text   string   // classification, regression, text
	Pair   *string  // classification, regression: the second text, nil where the task has one text
	Label  string   // classification
	Target *float64 // regression

	Instruction, Input, Output string    // instruction; Input may be empty
	Messages                   []Message // chat
	Source, TargetText         string    // seq2seq
}

// Message is one turn of a conversation. Role is system, user, assistant or tool.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
	// Weight of an assistant's turn in the loss, in [0, 1]; nil is 1. OpenAI's
	// format has it as "weight", LLaMA-Factory's as "loss_weight".
	Weight *float64 `json:"weight,omitempty"`
}

// The canonical objects; their fields stand in the order the contract names them.
type (
	classificationRow struct {
		Text  string  `json:"text"`
		Pair  *string `json:"text_pair,omitempty"`
		Label string  `json:"label"`
	}
	regressionRow struct {
		Text   string   `json:"text"`
		Pair   *string  `json:"text_pair,omitempty"`
		Target *float64 `json:"target"`
	}
	instructionRow struct {
		Instruction string `json:"instruction"`
		Input       string `json:"input"`
		Output      string `json:"output"`
	}
	chatRow struct {
		Messages []Message `json:"messages"`
	}
	seq2seqRow struct {
		Source string `json:"source"`
		Target string `json:"target"`
	}
	textRow struct {
		Text string `json:"text"`
	}
)

// MarshalJSON writes the canonical object.
func (r Row) MarshalJSON() ([]byte, error) {
	var v any
	switch r.Kind {
	case Classification:
		v = classificationRow{r.Text, r.Pair, r.Label}
	case Regression:
		v = regressionRow{r.Text, r.Pair, r.Target}
	case Instruction:
		v = instructionRow{r.Instruction, r.Input, r.Output}
	case Chat:
		v = chatRow{r.Messages}
	case Seq2Seq:
		v = seq2seqRow{r.Source, r.TargetText}
	case Text:
		v = textRow{r.Text}
	default:
		return nil, fmt.Errorf("a row of kind %q has no canonical form", r.Kind)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // texts hold <br /> more often than they meet a browser
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// UnmarshalJSON reads a canonical object, and nothing else.
func (r *Row) UnmarshalJSON(data []byte) error {
	var names map[string]json.RawMessage
	if err := json.Unmarshal(data, &names); err != nil {
		return err
	}
	has := func(name string) bool { _, ok := names[name]; return ok }
	strict := func(v any) error {
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		return dec.Decode(v)
	}
	*r = Row{Line: r.Line}
	switch {
	case has("messages"):
		var v chatRow
		err := strict(&v)
		r.Kind, r.Messages = Chat, v.Messages
		return err
	case has("instruction"):
		var v instructionRow
		err := strict(&v)
		r.Kind, r.Instruction, r.Input, r.Output = Instruction, v.Instruction, v.Input, v.Output
		return err
	case has("source"):
		var v seq2seqRow
		err := strict(&v)
		r.Kind, r.Source, r.TargetText = Seq2Seq, v.Source, v.Target
		return err
	case has("label"):
		var v classificationRow
		err := strict(&v)
		r.Kind, r.Text, r.Pair, r.Label = Classification, v.Text, v.Pair, v.Label
		return err
	case has("target"):
		var v regressionRow
		err := strict(&v)
		if err == nil && v.Target == nil {
			err = errors.New("the target is null")
		}
		r.Kind, r.Text, r.Pair, r.Target = Regression, v.Text, v.Pair, v.Target
		return err
	case has("text"):
		var v textRow
		err := strict(&v)
		r.Kind, r.Text = Text, v.Text
		return err
	}
	return errors.New("not a canonical row")
}

// Question is what the model is shown: two rows with equal questions are the same
// example, whatever they answer.
func (r Row) Question() string {
	switch r.Kind {
	case Classification, Regression:
		if r.Pair != nil {
			return r.Text + "\x00" + *r.Pair
		}
		return r.Text
	case Instruction:
		return r.Instruction + "\x00" + r.Input
	case Seq2Seq:
		return r.Source
	case Chat:
		last := len(r.Messages) - 1
		for last > 0 && r.Messages[last].Role != "assistant" {
			last--
		}
		return joined(r.Messages[:max(last, 0)])
	}
	return r.Text
}

// answer is what the model should say.
func (r Row) answer() string {
	switch r.Kind {
	case Classification:
		return r.Label
	case Regression:
		return fmt.Sprint(*r.Target)
	case Instruction:
		return r.Output
	case Seq2Seq:
		return r.TargetText
	case Chat:
		return joined(r.Messages)
	}
	return ""
}

func joined(messages []Message) string {
	var b strings.Builder
	for _, m := range messages {
		b.WriteString(m.Role + "\x00" + m.Content + "\x00")
	}
	return b.String()
}

// Counts is the weight of the turn in the loss.
func (m Message) Counts() float64 {
	if m.Weight == nil {
		return 1
	}
	return *m.Weight
}
