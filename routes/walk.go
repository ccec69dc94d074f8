package routes

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"lorikeet/adapters/invalid"
)

// walk compares a JSON text, already known to be well formed, with a Go type.
type walk struct {
	data           []byte
	dec            *json.Decoder
	unknown, wrong []error
	free           int // values seen where any may stand
}

func (w *walk) fault(path, format string, args ...any) {
	if len(w.wrong) <= maxFaults {
		w.wrong = append(w.wrong, invalid.Field(path, format, args...))
	}
}

func (w *walk) refuse(path, format string, args ...any) {
	if len(w.unknown) <= maxFaults {
		w.unknown = append(w.unknown, invalid.Field(path, format, args...))
	}
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// value reads one JSON value that should fit t.
func (w *walk) value(t reflect.Type, path string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(unmarshaler) {
		w.custom(t, path)
		return
	}
	before := w.dec.InputOffset()
	token, err := w.dec.Token()
	if err != nil {
		w.fault(path, "cannot be read: %v", err)
		return
	}
	if _, ok := token.(string); ok {
		if lone := loneSurrogate(w.data[before:w.dec.InputOffset()]); lone != "" {
			w.fault(path, "holds %s, half of a surrogate pair, which is no character", lone)
			return
		}
	}
	if token == nil { // null is "not given", everywhere but at the top
		if path == "" {
			w.fault("", "the body must be a JSON object, not null")
		}
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		w.object(t, path, token)
	case reflect.Map:
		w.entries(t, path, token)
	case reflect.Slice, reflect.Array:
		w.list(t, path, token)
	case reflect.Interface:
		before := w.free
		w.skip(token)
		if w.free++; w.free > mostFree && before <= mostFree {
			w.fault(path, "holds too much: at most %d values may stand here", mostFree)
		}
	default:
		w.scalar(t, path, token)
	}
}

// custom hands a value to the type's own UnmarshalJSON and puts the path in front
// of the faults that it finds.
func (w *walk) custom(t reflect.Type, path string) {
	var raw json.RawMessage
	if err := w.dec.Decode(&raw); err != nil {
		w.fault(path, "cannot be read: %v", err)
		return
	}
	if bytes.Equal(raw, []byte("null")) {
		return
	}
	err := reflect.New(t).Interface().(json.Unmarshaler).UnmarshalJSON(raw)
	if err == nil {
		return
	}
	faults := invalid.Faults(err)
	if len(faults) == 0 {
		faults = []invalid.Fault{{Reason: err.Error()}}
	}
	for _, f := range faults {
		if at := join(path, f.Field); errors.Is(err, errUnknownField) {
			w.refuse(at, "%s", f.Reason)
		} else {
			w.fault(at, "%s", f.Reason)
		}
	}
}

func join(path, field string) string {
	switch {
	case path == "":
		return field
	case field == "" || strings.HasPrefix(field, "["):
		return path + field
	}
	return path + "." + field
}

func (w *walk) object(t reflect.Type, path string, open json.Token) {
	if open != json.Delim('{') {
		w.skip(open)
		if path == "" {
			w.fault("", "the body must be a JSON object, not %s", tokenNoun(open))
		} else {
			w.fault(path, "must be an object, not %s", tokenNoun(open))
		}
		return
	}
	fields := bodyFields(t)
	seen := map[string]bool{}
	for w.dec.More() {
		key, _ := w.dec.Token()
		name := key.(string)
		at := join(path, brief(name))
		field, ok := fields[name]
		if !ok {
			if len(w.unknown) <= maxFaults { // a suggestion costs something, and a body holds millions of names
				w.refuse(at, "%s", unknownText("field", name, keys(fields)))
			}
			w.skipNext()
			continue
		}
		if seen[name] {
			w.refuse(at, "is given twice")
		}
		seen[name] = true
		w.value(field, at)
	}
	_, _ = w.dec.Token() // the closing brace
}

func (w *walk) entries(t reflect.Type, path string, open json.Token) {
	if open != json.Delim('{') {
		w.skip(open)
		w.fault(path, "must be an object, not %s", tokenNoun(open))
		return
	}
	for w.dec.More() {
		key, _ := w.dec.Token()
		w.value(t.Elem(), join(path, key.(string)))
	}
	_, _ = w.dec.Token()
}

func (w *walk) list(t reflect.Type, path string, open json.Token) {
	if open != json.Delim('[') {
		w.skip(open)
		w.fault(path, "must be a list, not %s", tokenNoun(open))
		return
	}
	for i := 0; w.dec.More(); i++ {
		w.value(t.Elem(), fmt.Sprintf("%s[%d]", path, i))
	}
	_, _ = w.dec.Token()
}

func (w *walk) scalar(t reflect.Type, path string, token json.Token) {
	switch v := token.(type) {
	case json.Delim:
		w.skip(token)
	case string:
		if t.Kind() == reflect.String {
			return
		}
	case bool:
		if t.Kind() == reflect.Bool {
			return
		}
	case json.Number:
		switch t.Kind() {
		case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
			if _, err := strconv.ParseInt(v.String(), 10, t.Bits()); err == nil {
				return
			}
			w.fault(path, "must be a whole number, written without point or exponent and within range, not %s", brief(v.String()))
			return
		case reflect.Float32, reflect.Float64:
			if _, err := strconv.ParseFloat(v.String(), t.Bits()); err == nil {
				return
			}
			w.fault(path, "is out of range: %s", brief(v.String()))
			return
		}
	}
	w.fault(path, "must be %s, not %s", noun(t), tokenNoun(token))
}

// skip reads the rest of the value that token opened.
func (w *walk) skip(token json.Token) {
	if d, ok := token.(json.Delim); !ok || (d != '{' && d != '[') {
		return
	}
	for depth := 1; depth > 0; {
		t, err := w.dec.Token()
		if err != nil {
			return
		}
		w.free++
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
}

func (w *walk) skipNext() {
	if token, err := w.dec.Token(); err == nil {
		w.skip(token)
	}
}

func noun(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice, reflect.Array:
		return "a list"
	}
	return "a whole number"
}

func tokenNoun(t json.Token) string {
	switch v := t.(type) {
	case json.Delim:
		if v == '{' {
			return "an object"
		}
		return "a list"
	case string:
		return "a string"
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return "the number " + brief(v.String())
	}
	return "null"
}

// brief shortens what a caller wrote to what is good to read back.
func brief(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
