package prompt

import (
	"io/fs"
	"slices"
	"strings"

	"lorikeet/adapters/invalid"
)

// Prompt is the text that a model reads. Whole: special tokens are spelled out in Text.
type Prompt struct {
	Text  string
	Whole bool
}

// Names are the templates there are.
var Names = []string{"plain", "t5", "alpaca", "chat"}

// Template makes prompts.
type Template struct {
	name string
	chat *Chat
}

// Chat is a base's own chat template.
type Chat struct{ source string }

// OpenChat reads a base's chat template, nil where it has none.
func OpenChat(dir fs.FS) (*Chat, error) {
	b, err := fs.ReadFile(dir, "chat_template.jinja")
	if err != nil {
		return nil, nil
	}
	return &Chat{string(b)}, nil
}

// Named finds a template.
func Named(name string, own *Chat) (Template, error) {
	switch {
	case name == "" && own != nil:
		return Template{"chat", own}, nil
	case name == "":
		return Template{name: "plain"}, nil
	case !slices.Contains(Names, name):
		return Template{}, invalid.Field("template", "%q is not a template; known: %s", name, strings.Join(Names, ", "))
	case name == "chat" && own == nil:
		return Template{}, invalid.Field("template", "the base has no chat template of its own")
	}
	return Template{name, own}, nil
}

// Name is the template's.
func (t Template) Name() string { return t.name }

// Prompt is the text up to where the answer begins.
func (t Template) Prompt(a Ask) (Prompt, error) {
	if t.name == "chat" {
		if a.Messages == nil {
			a.Messages = []Message{{"user", strings.TrimSpace(a.Instruction + "\n\n" + a.Input)}}
		}
		im := strings.Contains(t.chat.source, "im_start")
		var b strings.Builder
		if !im {
			b.WriteString("<|begin_of_text|>")
		}
		for _, m := range append(slices.Clone(a.Messages), Message{Role: "assistant"}) {
			if im {
				b.WriteString("<|im_start|>" + m.Role + "\n" + m.Content + "<|im_end|>\n")
			} else {
				b.WriteString("<|start_header_id|>" + m.Role + "<|end_header_id|>\n\n" + strings.TrimSpace(m.Content) + "<|eot_id|>")
			}
		}
		s := strings.TrimSuffix(b.String(), "<|eot_id|>")
		return Prompt{strings.TrimSuffix(s, "<|im_end|>\n"), true}, nil
	}
	if a.Messages != nil {
		var lines []string
		for _, m := range a.Messages {
			lines = append(lines, m.Content)
		}
		return Prompt{Text: strings.Join(lines, "\n")}, nil
	}
	if t.name == "alpaca" {
		return Prompt{Text: "### Instruction:\n" + a.Instruction + "\n\n### Input:\n" + a.Input + "\n\n### Response:\n"}, nil
	}
	return Prompt{Text: strings.TrimSpace(a.Instruction + "\n" + a.Input)}, nil
}
