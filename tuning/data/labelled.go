package data

import (
	"strings"

	"lorikeet/adapters/invalid"
)

// Labelled makes a row for a classifier of one for a model that writes: what is asked is
// the text, what is answered the label, without the spaces around it.
func Labelled(r Row) (Row, error) {
	out := Row{Line: r.Line, Kind: Classification}
	switch r.Kind {
	case Chat:
		turns := r.Messages
		if len(turns) > 0 && turns[0].Role == "system" {
			turns = turns[1:]
		}
		if len(turns) != 2 || turns[0].Role != "user" || turns[1].Role != "assistant" {
			return out, invalid.Field("messages", "a classifier learns from one message of the user and one of the assistant, its label")
		}
		out.Text, out.Label = turns[0].Content, turns[1].Content
	case Instruction:
		if out.Text = r.Input; strings.TrimSpace(r.Input) == "" {
			out.Text = r.Instruction
		}
		out.Label = r.Output
	case Seq2Seq:
		out.Text, out.Label = r.Source, r.TargetText
	default:
		return r, nil
	}
	out.Label = strings.TrimSpace(out.Label)
	if len(out.Label) > longestLabel {
		return out, invalid.Field("label", "has %d bytes: an answer of more than %d is no label; choose a base that writes", len(out.Label), longestLabel)
	}
	return out, nil
}

const longestLabel = 200
