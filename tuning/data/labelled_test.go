package data

import "testing"

func TestLabelledRows(t *testing.T) {
	chat := func(turns ...string) (r Row) {
		r.Kind = Chat
		for i := 0; i < len(turns); i += 2 {
			r.Messages = append(r.Messages, Message{Role: turns[i], Content: turns[i+1]})
		}
		return r
	}
	for name, c := range map[string]struct {
		row         Row
		text, label string // empty: refused
	}{
		"a conversation":             {chat("system", "Good?", "user", "fine film", "assistant", " positive\n"), "fine film", "positive"},
		"without a system message":   {chat("user", "a", "assistant", "b"), "a", "b"},
		"a conversation of several":  {chat("user", "a", "assistant", "b", "user", "c", "assistant", "d"), "", ""},
		"one without an answer":      {chat("user", "a", "user", "b"), "", ""},
		"nothing":                    {Row{Kind: Chat}, "", ""},
		"an instruction":             {Row{Kind: Instruction, Instruction: "Good?", Input: "fine film", Output: "positive"}, "fine film", "positive"},
		"one without an input":       {Row{Kind: Instruction, Instruction: "fine film", Output: "positive"}, "fine film", "positive"},
		"prompt and completion":      {Row{Kind: Seq2Seq, Source: "fine film", TargetText: " positive"}, "fine film", "positive"},
		"an answer that is no label": {Row{Kind: Seq2Seq, Source: "a", TargetText: string(make([]byte, 300))}, "", ""},
		"a labelled row":             {Row{Kind: Classification, Text: "a", Label: "b"}, "a", "b"},
	} {
		got, err := Labelled(c.row)
		if (err != nil) != (c.text == "") || err == nil && (got.Kind != Classification || got.Text != c.text || got.Label != c.label) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
