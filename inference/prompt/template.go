package prompt

import (
	"strings"

	"lorikeet/adapters/invalid"
)

// Template makes a prompt of an ask.
type Template struct {
	name  string
	write func(instruction, input string) string // nil: chat
	chat  *Chat
}

// Names are the templates that Named knows.
//
//   - plain: the instruction, a newline, the input; one of them alone as it is.
//   - t5: "instruction: … input: …", in the manner of T5's tasks, whose parts are
//     introduced by their names ("mnli premise: … hypothesis: …"; Raffel et al. 2020,
//     appendix D). All on one line, since T5's tokenizers keep no newlines.
//   - alpaca: the prompts of Stanford Alpaca (Taori et al. 2023, train.py), with an
//     input and without; an input alone is the instruction.
//   - chat: the chat template that the base came with. An instruction and its input,
//     with a newline between, are one message of the user.
//
// The first three write one turn. They take a conversation of one user message, whose
// system message, if any, is the instruction and the user's the input; a longer one is
// refused, since a model that was never shown turns cannot tell them apart.
var Names = []string{"plain", "t5", "alpaca", "chat"}

var writers = map[string]func(instruction, input string) string{"plain": plain, "t5": t5, "alpaca": alpaca}

// Named finds a template. own is the base's chat template, nil if it has none. No name
// means the base's own, else plain.
func Named(name string, own *Chat) (Template, error) {
	if name == "" {
		name = "plain"
		if own != nil {
			name = "chat"
		}
	}
	if name == "chat" {
		if own == nil {
			return Template{}, invalid.Field("template", "the base has no chat template; choose one of plain, t5, alpaca")
		}
		return Template{name: name, chat: own}, nil
	}
	write := writers[name]
	if write == nil {
		return Template{}, invalid.Field("template", "%q is none of %s", name, strings.Join(Names, ", "))
	}
	return Template{name: name, write: write}, nil
}

// Name is the name it was found by, or would be.
func (t Template) Name() string { return t.name }

// Prompt writes an ask up to where the answer begins. Its errors are the caller's
// mistakes, but for a chat template that does not work.
func (t Template) Prompt(a Ask) (Prompt, error) {
	if err := a.check(); err != nil {
		return Prompt{}, err
	}
	if t.chat != nil {
		messages := a.Messages
		if messages == nil {
			messages = []Message{{User, plain(a.Instruction, a.Input)}}
		}
		text, err := t.chat.Render(messages, true)
		return Prompt{Text: text, Whole: true}, err
	}
	if a.Messages != nil {
		var err error
		if a, err = t.single(a.Messages); err != nil {
			return Prompt{}, err
		}
	}
	return Prompt{Text: t.write(a.Instruction, a.Input)}, nil
}

// single reads a conversation of one turn.
func (t Template) single(messages []Message) (Ask, error) {
	switch {
	case len(messages) == 1:
		return Ask{Instruction: messages[0].Content}, nil
	case len(messages) == 2 && messages[0].Role == System:
		return Ask{Instruction: messages[0].Content, Input: messages[1].Content}, nil
	}
	return Ask{}, invalid.Field("messages", "the template %q writes one turn; a conversation of several needs a base with a chat template", t.name)
}

// both tells an instruction and an input where both are given, and else the one as the
// instruction.
func both(instruction, input string) (string, string) {
	if strings.TrimSpace(instruction) == "" {
		return input, ""
	}
	if strings.TrimSpace(input) == "" {
		return instruction, ""
	}
	return instruction, input
}

func plain(instruction, input string) string {
	instruction, input = both(instruction, input)
	if input == "" {
		return instruction
	}
	return instruction + "\n" + input
}

func t5(instruction, input string) string {
	var parts []string
	if strings.TrimSpace(instruction) != "" {
		parts = append(parts, "instruction: "+instruction)
	}
	if strings.TrimSpace(input) != "" {
		parts = append(parts, "input: "+input)
	}
	return strings.Join(parts, " ")
}

func alpaca(instruction, input string) string {
	instruction, input = both(instruction, input)
	if input == "" {
		return "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n" +
			"### Instruction:\n" + instruction + "\n\n### Response:"
	}
	return "Below is an instruction that describes a task, paired with an input that provides further context. " +
		"Write a response that appropriately completes the request.\n\n" +
		"### Instruction:\n" + instruction + "\n\n### Input:\n" + input + "\n\n### Response:"
}
