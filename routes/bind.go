package routes

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"lorikeet/adapters/invalid"
)

// A request is a struct. Fields tagged `path:"name"`, `query:"name"` or
// `header:"Name"` come from there; a field of type upload is the body as it
// arrives; all other fields are the JSON body. A parameter with a `default:"20"` has
// that value when it is not given. So the type is the documentation,
// and a test compares it with the published one.

// param is one field of a request that comes from outside the body.
type param struct {
	in, name string // "path" | "query" | "header"
	standard string // the value when it is not given
	index    []int
	kind     reflect.Kind
}

// bodyKind says what an operation reads from the request's body.
type bodyKind int

const (
	noBody bodyKind = iota
	jsonBody
	streamBody
)

// shape is what a request struct asks for.
type shape struct {
	params []param
	body   bodyKind
	stream []int // the field of type upload
}

var uploadType = reflect.TypeFor[upload]()

// shapeOf reads the tags of a request struct. A mistake there is a mistake of the
// program, so it panics; every table is built in a test.
func shapeOf(t reflect.Type) shape {
	if t.Kind() != reflect.Struct {
		panic(fmt.Sprintf("routes: request type %v is not a struct", t))
	}
	var s shape
	for _, f := range reflect.VisibleFields(t) {
		if f.Type == uploadType {
			s.body, s.stream = streamBody, f.Index
			continue
		}
		for _, in := range []string{"path", "query", "header"} {
			name, ok := f.Tag.Lookup(in)
			if !ok {
				continue
			}
			switch f.Type.Kind() {
			case reflect.String, reflect.Int, reflect.Bool:
			default:
				panic(fmt.Sprintf("routes: %v.%s: a parameter cannot be a %v", t, f.Name, f.Type))
			}
			s.params = append(s.params, param{in: in, name: name, standard: f.Tag.Get("default"), index: f.Index, kind: f.Type.Kind()})
		}
	}
	if s.body == noBody && len(bodyFields(t)) > 0 {
		s.body = jsonBody
	}
	return s
}

// bind fills the parameters of the request struct v. An unknown query parameter is
// an error: a misspelt dry_run must not start a job.
func (s shape) bind(v reflect.Value, r *http.Request, path func(string) string) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return invalid.Field("query", "cannot be read: %v", err)
	}
	var unknown, wrong []error
	var known []string
	for _, p := range s.params {
		var text string
		given := true
		switch p.in {
		case "path":
			text = path(p.name)
		case "header":
			text = r.Header.Get(p.name)
			given = text != ""
		case "query":
			known = append(known, p.name)
			values, ok := query[p.name]
			if given = ok; given {
				text = values[0]
			}
			if len(values) > 1 {
				wrong = append(wrong, invalid.Field(p.name, "is given %d times", len(values)))
			}
		}
		if !given && p.standard != "" {
			text, given = p.standard, true
		}
		if given {
			if err := p.set(v.FieldByIndex(p.index), text); err != nil {
				wrong = append(wrong, err)
			}
		}
	}
	for name := range query {
		if !contains(known, name) {
			unknown = append(unknown, invalid.Field(brief(name), "%s", unknownText("query parameter", name, known)))
		}
	}
	if len(unknown) > 0 {
		return errors.Join(errUnknownField, errors.Join(append(unknown, wrong...)...))
	}
	return errors.Join(wrong...)
}

func (p param) set(field reflect.Value, text string) error {
	switch p.kind {
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return invalid.Field(p.name, "must be a whole number, not %q", brief(text))
		}
		field.SetInt(int64(n))
	case reflect.Bool:
		switch strings.ToLower(text) {
		case "true", "1", "": // "?dry_run" alone means yes
			field.SetBool(true)
		case "false", "0":
			field.SetBool(false)
		default:
			return invalid.Field(p.name, "must be true or false, not %q", brief(text))
		}
	default:
		field.SetString(text)
	}
	return nil
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
