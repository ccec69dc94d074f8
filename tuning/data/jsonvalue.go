package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"lorikeet/adapters/invalid"
)

// parseJSON reads the one JSON value in text. encoding/json is more forgiving than
// a dataset should be, so that three things are looked for beside its own errors:
// names that appear twice (it keeps the last), halves of surrogate pairs and bytes
// that are not UTF-8 (it makes U+FFFD of both). Faults have no line.
func parseJSON(text []byte) (any, *invalid.Fault) {
	if !utf8.Valid(text) {
		return nil, &invalid.Fault{Reason: fmt.Sprintf("byte %d is not valid UTF-8", invalidAt(text)+1)}
	}
	if half, at := loneSurrogate(text); half != "" {
		return nil, &invalid.Fault{Reason: fmt.Sprintf("%s at column %d is half of a surrogate pair, not a character", half, at+1)}
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	v, err := tokens(dec, 0)
	if err == nil {
		if _, err = dec.Token(); errors.Is(err, io.EOF) {
			return v, nil
		}
		if err == nil {
			return nil, &invalid.Fault{Reason: "more than one JSON value on the line: each row needs its own"}
		}
	}
	return nil, explain(err, text)
}

// maxDepth of lists and objects in a row; reading them recurses.
const maxDepth = 100

// tokens builds the value that dec is in front of.
func tokens(dec *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, &invalid.Fault{Reason: fmt.Sprintf("nested deeper than %d levels", maxDepth)}
	}
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			v, err := tokens(dec, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := dec.Token()
		return list, err
	case json.Delim('{'):
		var o object
		seen := map[string]bool{}
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				return nil, err
			}
			name := key.(string)
			if seen[name] {
				return nil, &invalid.Fault{Field: name, Reason: "the name appears twice in one object"}
			}
			seen[name] = true
			v, err := tokens(dec, depth+1)
			if err != nil {
				return nil, err
			}
			o.names, o.values = append(o.names, name), append(o.values, v)
		}
		_, err := dec.Token()
		return o, err
	}
	return t, nil
}

// explain says in a user's words what stopped the decoder.
func explain(err error, text []byte) *invalid.Fault {
	var fault *invalid.Fault
	if errors.As(err, &fault) {
		return fault
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &invalid.Fault{Reason: "the line ends inside a JSON value: the file is cut off, or a line break stands inside a row"}
	}
	if nul := bytes.IndexByte(text, 0); nul >= 0 {
		return &invalid.Fault{Reason: fmt.Sprintf("a NUL byte at column %d", nul+1)}
	}
	if head := bytes.TrimLeft(text, "{[ \t\r\n"); bytes.HasPrefix(head, []byte("'")) {
		return &invalid.Fault{Reason: "not JSON: names and texts need double quotes, these are single (a Python dict printed as it is?)"}
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return &invalid.Fault{Reason: fmt.Sprintf("not JSON: %v (column %d)", syntax, max(syntax.Offset, 1))}
	}
	return &invalid.Fault{Reason: "not JSON: " + err.Error()}
}

// invalidAt is the index of the first byte that is not UTF-8.
func invalidAt(text []byte) int {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(text)
}

// loneSurrogate finds an escape \uD800 to \uDFFF that is no part of a pair, and its
// index. In JSON a backslash stands only inside of strings, so none need be parsed.
func loneSurrogate(text []byte) (string, int) {
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		high, ok := surrogate(text[i:])
		switch {
		case !ok:
			i++ // whatever is escaped, a backslash included
			continue
		case high >= 0xDC00:
			return string(text[i : i+6]), i
		}
		if low, ok := surrogate(text[i+6:]); !ok || low < 0xDC00 {
			return string(text[i : i+6]), i
		}
		i += 11
	}
	return "", 0
}

// surrogate reads an escape such as \uD83D at the start of text.
func surrogate(text []byte) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range text[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, r >= 0xD800 && r <= 0xDFFF
}
