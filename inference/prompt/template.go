package prompt

import "strings"

// Prompt is a text as a model reads it.
type Prompt struct {
	Text  string
	Whole bool // special tokens are spelled out in Text; the tokenizer adds none
}

// Chat is a base's own template.
type Chat struct{}

// Template makes prompts.
type Template struct{}

// Named finds a template.
func Named(string, *Chat) (Template, error) { return Template{}, nil }

// Prompt makes one.
func (Template) Prompt(a Ask) (Prompt, error) {
	return Prompt{Text: strings.TrimSpace(a.Instruction + "\n" + a.Input)}, nil
}
