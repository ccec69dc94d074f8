package train

import (
	"errors"
	"fmt"
	"slices"
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
	return a.examples(all)
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

// roles are those of a conversation's turns.
var roles = []string{"system", "user", "assistant", "tool"}

// converses reports what is wrong with a conversation to learn from.
func converses(messages []data.Message) error {
	var errs []error
	asked, answered := false, false
	for i, m := range messages {
		field := fmt.Sprintf("messages[%d].", i)
		switch {
		case !slices.Contains(roles, m.Role):
			errs = append(errs, invalid.Field(field+"role", "%q is not a role; known: %s", m.Role, strings.Join(roles, ", ")))
		case m.Role != "assistant":
			asked = asked || m.Role == "user"
		case !asked:
			errs = append(errs, invalid.Field(field+"role", "the assistant answers before a user has asked anything"))
		case m.Counts() == 0: // shown, not learned
		case strings.TrimSpace(m.Content) == "":
			errs = append(errs, invalid.Field(field+"content", "is empty: there is nothing to learn"))
		default:
			answered = true
		}
	}
	if !answered && len(errs) == 0 {
		errs = append(errs, invalid.Field("messages", "hold no turn of the assistant that counts: there is nothing to learn"))
	}
	return errors.Join(errs...)
}

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
	if p.Whole { // how an answer ends does not depend on what was asked
		asked := []prompt.Message{{Role: "user", Content: "?"}}
		if l.shown, err = a.shown(append(asked, prompt.Message{Role: "assistant", Content: answer})); err != nil {
			return nil, err
		}
	}
	return []lesson{l}, nil
}

// conversation is a lesson for each turn of the assistant that counts.
func (a *attempt) conversation(messages []data.Message) ([]lesson, error) {
	all := make([]prompt.Message, len(messages))
	last := 0
	for i, m := range messages {
		all[i] = prompt.Message{Role: m.Role, Content: m.Content}
		if m.Role == "assistant" && m.Counts() > 0 {
			last = i
		}
	}
	var lessons []lesson
	var whole prompt.Prompt // what comes after the last answer teaches nothing
	for i, m := range messages[:last+1] {
		if m.Role != "assistant" || m.Counts() == 0 {
			continue
		}
		p, err := a.template.Prompt(prompt.Ask{Messages: all[:i]})
		if err != nil {
			return nil, err
		}
		l := lesson{prompt: p, answer: m.Content, shown: m.Content, counts: m.Counts()}
		if p.Whole {
			if whole.Text == "" {
				if whole, err = a.template.Prompt(prompt.Ask{Messages: all[:last+1]}); err != nil {
					return nil, err
				}
			}
			var nested bool
			if l.shown, nested = strings.CutPrefix(whole.Text, p.Text); !nested { // a template that rewrites what was said before
				if l.shown, err = a.shown(all[:i+1]); err != nil {
					return nil, err
				}
			}
		}
		lessons = append(lessons, l)
	}
	return lessons, nil
}

// shown is what a chat template puts after the prompt of a conversation's last turn,
// which is the assistant's.
func (a *attempt) shown(messages []prompt.Message) (string, error) {
	before, err := a.template.Prompt(prompt.Ask{Messages: messages[:len(messages)-1]})
	if err != nil {
		return "", err
	}
	whole, err := a.template.Prompt(prompt.Ask{Messages: messages})
	if err != nil {
		return "", err
	}
	text, ok := strings.CutPrefix(whole.Text, before.Text)
	if !ok {
		return "", invalid.Field("template", "%s does not show an answer after its prompt: nothing can be learned with it", a.template.Name())
	}
	return text, nil
}

// prefix tells a T5 which languages a translation is from and to (Raffel et al. 2020,
// appendix D). Other families are not told: a Marian knows, or reads a >>code<<.
func (a *attempt) prefix() string {
	if f := a.base.Facts().Family; a.spec.SourceLang == "" || f != "t5" && f != "mt5" {
		return ""
	}
	return "translate " + a.spec.SourceLang + " to " + a.spec.TargetLang + ": "
}
