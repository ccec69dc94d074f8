package routes

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"lorikeet/adapters/invalid"
	"lorikeet/inference"
)

// inputs is the polymorphic field of /predict: one text, a list of texts, or a list
// of objects with a text and perhaps a second one. A list of two strings is two
// texts, never a pair.
type inputs []inference.Input

// inputPair is the object form of one input.
type inputPair struct {
	Text     *string `json:"text" example:"A man is playing a flute."`
	TextPair *string `json:"text_pair,omitempty" example:"Someone makes music."`
} // @name Input

// mostInputs is where reading a list ends, whatever Limits.Inputs says of it
// afterwards: millions of empty texts take much more memory than their JSON.
const mostInputs = 1 << 16

// UnmarshalJSON reports every bad element, with its index.
func (in *inputs) UnmarshalJSON(data []byte) error {
	*in = nil
	switch first(data) {
	case 'n': // null is "not given"
		return nil
	case '"':
		one, err := oneInput(data)
		if err != nil {
			return err
		}
		*in = inputs{one}
		return nil
	case '[':
		list := json.NewDecoder(bytes.NewReader(data))
		if _, err := list.Token(); err != nil { // the bracket
			return err
		}
		var all inputs
		var faults, unknown []error
		for i := 0; list.More(); i++ {
			if i == mostInputs {
				return &invalid.Fault{Reason: fmt.Sprintf("holds more than %d texts", mostInputs)}
			}
			var raw json.RawMessage
			if err := list.Decode(&raw); err != nil {
				return err
			}
			one, err := oneInput(raw)
			for _, f := range invalid.Faults(err) {
				f.Field = join(fmt.Sprintf("[%d]", i), f.Field)
				if errors.Is(err, errUnknownField) {
					unknown = append(unknown, &f)
				} else {
					faults = append(faults, &f)
				}
			}
			all = append(all, one)
			if len(faults)+len(unknown) > maxFaults {
				break
			}
		}
		if len(unknown) > 0 {
			return errors.Join(errUnknownField, errors.Join(unknown...))
		}
		if len(faults) > 0 {
			return errors.Join(faults...)
		}
		*in = all
		return nil
	}
	return &invalid.Fault{Reason: `must be a string, a list of strings, or a list of {"text", "text_pair"}`}
}

// oneInput reads a string or an object.
func oneInput(data []byte) (inference.Input, error) {
	if lone := loneSurrogate(data); lone != "" {
		return inference.Input{}, &invalid.Fault{Reason: fmt.Sprintf("holds %s, half of a surrogate pair, which is no character", lone)}
	}
	switch first(data) {
	case '"':
		var text string
		err := json.Unmarshal(data, &text)
		return inference.Input{Text: text}, err
	case '{':
		var pair inputPair
		if err := decodeJSON(data, &pair); err != nil {
			return inference.Input{}, err
		}
		if pair.Text == nil {
			return inference.Input{}, invalid.Field("text", "is missing")
		}
		return inference.Input{Text: *pair.Text, Pair: pair.TextPair}, nil
	}
	return inference.Input{}, &invalid.Fault{Reason: `must be a string or {"text", "text_pair"}`}
}

func first(data []byte) byte {
	data = bytes.TrimLeft(data, " \t\r\n")
	if len(data) == 0 {
		return 0
	}
	return data[0]
}

// loneSurrogate finds a \uD800-\uDFFF escape without its partner. encoding/json
// would put U+FFFD there without a word, and the answer would be about another text.
func loneSurrogate(data []byte) string {
	high := -1 // where a high surrogate ended
	for i := 0; i+1 < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		if data[i+1] != 'u' || i+6 > len(data) {
			i++ // the escaped character is no start of an escape
			continue
		}
		c, d := data[i+2]|0x20, data[i+3]|0x20
		isHigh := c == 'd' && (d == '8' || d == '9' || d == 'a' || d == 'b')
		isLow := c == 'd' && d >= 'c' && d <= 'f'
		// In hex digits |0x20 changes only capital letters: '0'..'9' have the bit set.
		switch {
		case isLow && high == i:
			high = -1
		case isLow:
			return string(data[i : i+6])
		case high >= 0:
			return string(data[high-6 : high])
		case isHigh:
			high = i + 6
		}
		i += 5
	}
	if high >= 0 {
		return string(data[high-6 : high])
	}
	return ""
}
