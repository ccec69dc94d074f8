package train

import (
	"errors"
	"fmt"
	"strings"

	"lorikeet/adapters/invalid"
	"lorikeet/inference/prompt"
	"lorikeet/tuning/data"
)

// maxFaults is how many bad rows are named; a file of them is told by its first.
const maxFaults = 20

// rowsToGive says what a base that generates learns from.
const rowsToGive = "rows with instruction and output, messages, prompt and completion, or source and target"

// lessons turns rows into what a generating base reads and writes: an example for each,
// or of a conversation one for each answer (see examples). All rows that cannot teach
// anything are named at once.
func (a *attempt) lessons(rows []data.Row) ([]example, error) {
	examples := make([]example, 0, len(rows))
	var errs []error
	for i, r := range rows {
		more, err := []example{{}}, teaches(r)
		if err == nil && (a.sample == 0 || i < a.sample) {
			more, err = a.learnt(r)
		}
		if err != nil {
			if errs = append(errs, onLine(r.Line, err)); len(errs) == maxFaults {
				break
			}
		}
		examples = append(examples, more...)
	}
	return examples, errors.Join(errs...)
}

func (a *attempt) learnt(r data.Row) ([]example, error) {
	all, err := a.lesson(r)
	if err != nil {
		return nil, err
	}
	return a.examples(all), nil
}

// onLine says on which line of the rows the faults of err are.
func onLine(line int, err error) error {
	var errs []error
	for _, f := range invalid.Faults(err) {
		f.Line = line
		errs = append(errs, &f)
	}
	if len(errs) == 0 {
		return fmt.Errorf("line %d: %w", line, err)
	}
	return errors.Join(errs...)
}

// teaches reports what is wrong with a row, as far as it can be seen without a template.
func teaches(r data.Row) error {
	var errs []error
	filled := func(field, text string) {
		if strings.TrimSpace(text) == "" {
			errs = append(errs, invalid.Field(field, "is empty: there is nothing to learn"))
		}
	}
	switch r.Kind {
	case data.Seq2Seq:
		filled("source", r.Source)
		filled("target", r.TargetText)
	case data.Instruction:
		filled("instruction", r.Instruction)
		filled("output", r.Output)
	case data.Chat:
		errs = append(errs, converses(r.Messages))
	default:
		errs = append(errs, invalid.Field("", "is a row of kind %s; give %s", r.Kind, rowsToGive))
	}
	return errors.Join(errs...)
}

// converses reports what is wrong with a conversation to learn from. What comes after the
// last answer that counts teaches nothing, and may be anything.
func converses(messages []data.Message) error {
	all, last := turns(messages)
	if last < 0 {
		return invalid.Field("messages", "hold no turn of the assistant that counts: there is nothing to learn")
	}
	return prompt.CheckMessages(all[:last+1], true)
}

// turns are the messages without their weights, and the place of the last answer that
// counts, -1 where there is none.
func turns(messages []data.Message) (all []prompt.Message, last int) {
	all, last = make([]prompt.Message, len(messages)), -1
	for i, m := range messages {
		all[i] = prompt.Message{Role: m.Role, Content: m.Content}
		if answers(m) {
			last = i
		}
	}
	return all, last
}

// answers reports whether a turn is learned.
func answers(m data.Message) bool { return m.Role == prompt.Assistant && m.Counts() > 0 }

// lesson is an answer to learn, and what is asked before it.
type lesson struct {
	prompt prompt.Prompt
	answer string
	// shown is what follows the prompt in the text that is learned from: the answer, and
	// after it what a chat template ends a turn with, up to the conversation's last answer.
	shown  string
	counts float64 // weight in the loss
}

// lesson is what a row teaches, in the words of the run's template.
func (a *attempt) lesson(r data.Row) ([]lesson, error) {
	ask, answer := prompt.Ask{Instruction: r.Instruction, Input: r.Input}, r.Output
	switch r.Kind {
	case data.Chat:
		return a.conversation(r.Messages)
	case data.Seq2Seq:
		ask, answer = prompt.Ask{Instruction: a.prefix() + r.Source}, r.TargetText
		if a.spec.Template == "" { // the source is the prompt, to the letter
			return []lesson{{prompt: prompt.Prompt{Text: ask.Instruction}, answer: answer, shown: answer, counts: 1}}, nil
		}
	}
	p, err := a.template.Prompt(ask)
	if err != nil {
		return nil, err
	}
	l := lesson{prompt: p, answer: answer, shown: answer, counts: 1}
	if p.Whole { // how an answer is shown does not depend on what was asked
		l.shown, err = a.shown([]prompt.Message{{Role: prompt.User, Content: "?"}, {Role: prompt.Assistant, Content: answer}})
	}
	return []lesson{l}, err
}

// conversation is a lesson for each turn of the assistant that counts.
func (a *attempt) conversation(messages []data.Message) ([]lesson, error) {
	all, last := turns(messages)
	var lessons []lesson
	var whole string // the conversation up to the last answer
	for i, m := range messages[:last+1] {
		if !answers(m) {
			continue
		}
		p, err := a.template.Prompt(prompt.Ask{Messages: all[:i]})
		if err != nil {
			return nil, err
		}
		l := lesson{prompt: p, answer: m.Content, shown: m.Content, counts: m.Counts()}
		if p.Whole {
			if whole == "" {
				if whole, err = a.base.Chat.Render(all[:last+1], false); err != nil {
					return nil, err
				}
			}
			var ok bool
			if l.shown, ok = shows(whole, p.Text, m.Content); !ok { // a template that rewrites what was said before
				if l.shown, err = a.shown(all[:i+1]); err != nil {
					return nil, err
				}
			}
		}
		lessons = append(lessons, l)
	}
	return lessons, nil
}

// shown is how the base's chat template shows the answer that a conversation ends with.
// One that opens an answer otherwise than it shows it later leaves the answer as it is.
func (a *attempt) shown(messages []prompt.Message) (string, error) {
	answer := messages[len(messages)-1].Content
	before, err := a.base.Chat.Render(messages[:len(messages)-1], true)
	if err != nil {
		return "", err
	}
	whole, err := a.base.Chat.Render(messages, false)
	if err != nil {
		return "", err
	}
	if text, ok := shows(whole, before, answer); ok {
		return text, nil
	}
	return answer, nil
}

// shows is what follows a prompt in a conversation; ok is false where that is not the
// answer, which templates may trim.
func shows(whole, before, answer string) (text string, ok bool) {
	text, ok = strings.CutPrefix(whole, before)
	return text, ok && strings.Contains(text, strings.TrimSpace(answer))
}

// prefix tells a T5 which languages a translation is from and to (Raffel et al. 2020,
// appendix D). Other families are not told: a Marian knows, or reads a >>code<<.
func (a *attempt) prefix() string {
	if f := a.base.Facts().Family; a.spec.SourceLang == "" || f != "t5" && f != "mt5" {
		return ""
	}
	return "translate " + a.spec.SourceLang + " to " + a.spec.TargetLang + ": "
}
