package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"
)

// written is the last object of a stream, and an answer without one.
type written struct {
	Text         *string `json:"text"`
	FinishReason string  `json:"finish_reason"`
	Usage        struct {
		Input  int `json:"input_tokens"`
		Output int `json:"output_tokens"`
	} `json:"usage"`
	Timings struct {
		First float64 `json:"first_token_ms"`
		Speed float64 `json:"tokens_per_second"`
	} `json:"timings"`
	Warnings []string `json:"warnings"`
}

func (a *app) generate() *cobra.Command {
	var model, adapter, instruction, file, template string
	var chat, noStream, stats bool
	var stop []string
	var tokens, beams, topK int
	var temperature, topP, penalty float64
	var seed uint64
	cmd := &cobra.Command{Use: "generate [TEXT]", Short: "Write a text, shown as it comes", Args: cobra.ArbitraryArgs,
		Long: `Writes a text. The TEXT (else --file, else standard input) is the prompt as the model reads it, or with
--chat a user's message. With --instruction it is the instruction's input and may be missing; standard
input is read then only with --file -.`,
		Example: `  service generate -m t5 --instruction "Translate to German." "Good morning."
  service generate -m smol --chat "Name a river." --max-new-tokens 32
  service generate -m smol -a poet --temperature 0.8 --seed 7 < prompt.txt`}
	f := cmd.Flags()
	f.StringVarP(&model, "model", "m", "", "base or variant; may be left out where there is only one")
	f.StringVarP(&adapter, "adapter", "a", "", "adapter, as poet or poet@3")
	f.StringVarP(&instruction, "instruction", "i", "", "what to do with the TEXT")
	f.BoolVar(&chat, "chat", false, "the TEXT is a message in a conversation")
	f.StringVarP(&file, "file", "f", "", "file with the TEXT; -: standard input")
	f.StringVar(&template, "template", "", "how instruction or message become a prompt: plain, t5, alpaca or chat")
	f.IntVarP(&tokens, "max-new-tokens", "n", 0, "longest answer")
	f.IntVar(&beams, "num-beams", 0, "beams")
	f.Float64Var(&temperature, "temperature", 0, "draw tokens, at this temperature; 0: greedy")
	f.Float64Var(&topP, "top-p", 0, "draw from the likeliest tokens that make up this share")
	f.IntVar(&topK, "top-k", 0, "draw from so many of the likeliest tokens")
	f.Float64Var(&penalty, "repetition-penalty", 0, "above 1: against repeating")
	f.Uint64Var(&seed, "seed", 0, "of what is drawn")
	f.StringArrayVar(&stop, "stop", nil, "the text ends before this (repeatable)")
	f.BoolVar(&noStream, "no-stream", false, "show the text when it is whole")
	f.BoolVar(&stats, "stats", false, "tell tokens and times on standard error")
	a.completes(cmd, "model", models)
	a.completes(cmd, "adapter", adapterRefs)
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, args []string) error {
		if chat && instruction != "" {
			return misuse(errors.New("--chat and --instruction exclude each other"))
		}
		text := ""
		if instruction == "" || len(args) > 0 || file != "" {
			var err error
			if text, err = whole(args, file, cmd.InOrStdin()); err != nil {
				return err
			}
		}
		body := map[string]any{}
		for name, value := range map[string]string{"model": model, "adapter": adapter, "template": template} {
			if value != "" {
				body[name] = value
			}
		}
		switch {
		case instruction != "":
			body["instruction"] = instruction
			if text != "" {
				body["input"] = text
			}
		case chat:
			body["messages"] = []map[string]string{{"role": "user", "content": text}}
		default:
			body["prompt"] = text
		}
		parameters := map[string]any{}
		for flag, value := range map[string]any{"max-new-tokens": tokens, "num-beams": beams, "top-p": topP, "top-k": topK,
			"repetition-penalty": penalty, "seed": seed, "stop": stop} {
			if f.Changed(flag) {
				parameters[underscored(flag)] = value
			}
		}
		if temperature > 0 {
			parameters["temperature"] = temperature
		}
		if temperature > 0 || f.Changed("top-p") || f.Changed("top-k") {
			parameters["do_sample"] = true
		}
		body["parameters"] = parameters
		var end written
		var err error
		if a.json || noStream {
			err = writeWhole(ctx, c, out, body, a.json, &end)
		} else {
			err = writeStream(ctx, c, out, body, &end)
		}
		if err != nil {
			return err
		}
		b := newBar(cmd.ErrOrStderr())
		for _, w := range end.Warnings {
			b.note("warning: %s", w)
		}
		if stats {
			b.note("%d tokens read, %d written (%s), the first after %.0f ms, %.1f a second", end.Usage.Input, end.Usage.Output, end.FinishReason, end.Timings.First, end.Timings.Speed)
		}
		return nil
	})
	return cmd
}

func writeWhole(ctx context.Context, c *client, out io.Writer, body map[string]any, asJSON bool, end *written) error {
	text, err := c.post(ctx, "/generate", body, end)
	if err != nil {
		return err
	}
	if asJSON {
		return answer(out, text)
	}
	if end.Text == nil {
		return errors.New("POST /generate answers no text")
	}
	_, err = fmt.Fprintln(out, forTerminal(out, *end.Text))
	return err
}

// writeStream shows a text as it comes.
func writeStream(ctx context.Context, c *client, out io.Writer, body map[string]any, end *written) error {
	body["stream"] = true
	r, err := jsonRequest("/generate", body)
	if err != nil {
		return err
	}
	r.accept = "text/event-stream"
	res, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }() // read only
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("POST /generate answers %s", res.Status)
	}
	shown := false
	defer func() {
		if shown {
			_, _ = fmt.Fprintln(out) // what went wrong has been returned
		}
	}()
	for e, err := range events(res.Body) {
		if err != nil {
			return err
		}
		if e.Data == "[DONE]" {
			shown = true // also after an empty text
			return nil
		}
		if e.Name == "error" {
			p := &Problem{}
			if err := json.Unmarshal([]byte(e.Data), p); err != nil {
				return fmt.Errorf("the text breaks off: %s", clean(clip(e.Data, 200)))
			}
			return p
		}
		var piece written
		if err := json.Unmarshal([]byte(e.Data), &piece); err != nil {
			return fmt.Errorf("an event of the stream is not JSON: %w", err)
		}
		if piece.FinishReason != "" {
			*end = piece
		}
		if piece.Text != nil && *piece.Text != "" {
			shown = true
			if _, err := io.WriteString(out, forTerminal(out, *piece.Text)); err != nil {
				return err
			}
		}
	}
	return errors.New("the text breaks off: the connection ended before it did")
}

// forTerminal is a text as it is for a file, and without control characters for a person.
func forTerminal(out io.Writer, text string) string {
	if _, person := terminal(out); person {
		return cleanText(text)
	}
	return text
}
