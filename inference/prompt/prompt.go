// Package prompt turns what a caller asks into the text that a model reads: an
// instruction with its input, or a conversation, by a named template. Serving and
// training use the same one, so that a model is asked as it was taught.
package prompt

import (
	"errors"
	"fmt"
	"strings"

	"lorikeet/adapters/invalid"
)

// Message is a turn of a conversation.
type Message struct {
	Role    string `json:"role"` // system | user | assistant
	Content string `json:"content"`
}

// The roles of a conversation.
const (
	System    = "system"
	User      = "user"
	Assistant = "assistant"
)

// Ask is an instruction with its input, or a conversation; never both.
type Ask struct {
	Instruction string
	Input       string
	Messages    []Message
}

// Prompt is a text up to where the model's answer begins.
type Prompt struct {
	Text string
	// Whole: the special tokens are spelled out in Text and the tokenizer adds none, as
	// chat templates are meant.
	Whole bool
}

// check refuses an ask that asks nothing, or two things.
func (a Ask) check() error {
	single := strings.TrimSpace(a.Instruction) != "" || strings.TrimSpace(a.Input) != ""
	switch {
	case a.Messages != nil && (a.Instruction != "" || a.Input != ""):
		return invalid.Field("messages", "come instead of an instruction and its input, not with them")
	case a.Messages != nil:
		return CheckMessages(a.Messages, false)
	case !single:
		return invalid.Field("instruction", "there is neither an instruction nor an input nor messages")
	}
	return nil
}

// CheckMessages reports every mistake in a conversation, by messages[i].role and
// messages[i].content: at most one system message, which comes first; then the user and
// the assistant in turn. It ends with the assistant where it is answered, as in a data
// set, and else with the user, whom the model is to answer.
func CheckMessages(messages []Message, answered bool) error {
	if len(messages) == 0 {
		return invalid.Field("messages", "are empty")
	}
	var errs []error
	next := User
	for i, m := range messages {
		field := fmt.Sprintf("messages[%d].role", i)
		switch {
		case m.Role != System && m.Role != User && m.Role != Assistant:
			errs = append(errs, invalid.Field(field, "%q is none of system, user, assistant", m.Role))
		case m.Role == System && i > 0:
			errs = append(errs, invalid.Field(field, "the system message comes first, and once"))
		case m.Role != System && m.Role != next:
			errs = append(errs, invalid.Field(field, "it is the %s's turn: user and assistant alternate, and the user begins", next))
		}
		if strings.TrimSpace(m.Content) == "" {
			errs = append(errs, invalid.Field(fmt.Sprintf("messages[%d].content", i), "is empty"))
		}
		switch m.Role {
		case User:
			next = Assistant
		case Assistant:
			next = User
		}
	}
	last, want := messages[len(messages)-1].Role, User
	if answered {
		want = Assistant
	}
	if errs == nil && last != want {
		errs = append(errs, invalid.Field(fmt.Sprintf("messages[%d].role", len(messages)-1), "the last message is the %s's, not the %s's", want, last))
	}
	return errors.Join(errs...)
}
