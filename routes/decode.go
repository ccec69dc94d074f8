package routes

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"lorikeet/adapters/invalid"
)

// decodeJSON reads one JSON object into the struct that into points to. Unlike
// encoding/json alone it knows names exactly (no case folding), refuses fields that
// are unknown or given twice, and reports every mistake at once, each with its path:
// "lora.r", "inputs[3].text".
func decodeJSON(data []byte, into any) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return errors.Join(errMalformed, &invalid.Fault{Reason: "the body is empty; send a JSON object"})
	}
	if err := wellFormed(data); err != nil {
		return err
	}
	w := walk{data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	w.dec.UseNumber()
	w.value(reflect.TypeOf(into).Elem(), "")
	if len(w.unknown) > 0 {
		return errors.Join(errUnknownField, errors.Join(append(w.unknown, w.wrong...)...))
	}
	if len(w.wrong) > 0 {
		return errors.Join(w.wrong...)
	}
	if err := json.Unmarshal(data, into); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return invalid.Field(wrong.Field, "must be %s, not %s", noun(wrong.Type), wrong.Value)
		}
		return errors.Join(errMalformed, err)
	}
	return nil
}

// wellFormed reports where the text stops being JSON.
func wellFormed(data []byte) error {
	if !utf8.Valid(data) {
		at := 0
		for rest := data; len(rest) > 0; {
			r, n := utf8.DecodeRune(rest)
			if r == utf8.RuneError && n <= 1 {
				break
			}
			rest, at = rest[n:], at+n
		}
		return malformed(data, int64(at), "this byte is not UTF-8; send JSON as UTF-8")
	}
	var whole json.RawMessage
	err := json.Unmarshal(data, &whole)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		at := max(syntax.Offset-1, 0)
		if int(syntax.Offset) >= len(data) && strings.HasPrefix(syntax.Error(), "unexpected end") {
			at = int64(len(data))
		}
		return malformed(data, at, syntax.Error())
	}
	if err != nil {
		return errors.Join(errMalformed, err)
	}
	return nil
}

func malformed(data []byte, at int64, why string) error {
	before := data[:min(int(at), len(data))]
	line := bytes.Count(before, []byte{'\n'}) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return errors.Join(errMalformed, &invalid.Fault{
		Reason: fmt.Sprintf("invalid JSON at offset %d (line %d, column %d): %s", at, line, column, why),
	})
}

// bodyFields maps the JSON names of a struct's fields, embedded ones included, to
// their types. Fields that come from the path, the query or a header have `json:"-"`.
func bodyFields(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || (f.Anonymous && name == "") || !f.IsExported():
			continue
		case name == "":
			name = f.Name
		}
		fields[name] = f.Type
	}
	return fields
}
