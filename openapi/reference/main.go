// Command reference writes the specification as a page of Markdown: docs/API.md.
//
//	go run ./openapi/reference >docs/API.md
package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"lorikeet/openapi"
)

func main() {
	if err := write(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}

func write(w io.Writer) error {
	raw, err := openapi.JSON(nil)
	if err != nil {
		return err
	}
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		return err
	}
	_, err = w.Write(page(doc))
	return err
}

// methods are in the order in which a path's operations are shown.
var methods = []string{"GET", "POST", "PUT", "PATCH", "DELETE"}

func page(doc *openapi3.T) []byte {
	var b bytes.Buffer
	b.WriteString("# API reference\n\nMade of the specification by `go run ./openapi/reference >docs/API.md`; a running service shows the same at `/docs`, with examples, and has it as\n" +
		"`/openapi.json`. Every error has the body `Problem`, [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) with what OpenAI's clients read.\n\n")
	groups := map[string][]string{}
	for _, path := range doc.Paths.InMatchingOrder() {
		for _, method := range methods {
			if op := doc.Paths.Value(path).GetOperation(method); op != nil {
				groups[op.Tags[0]] = append(groups[op.Tags[0]], path+" "+method)
			}
		}
	}
	for _, tag := range doc.Tags {
		if len(groups[tag.Name]) == 0 {
			continue
		}
		fmt.Fprintf(&b, "## %s\n\n%s\n\n", tag.Name, tag.Description)
		slices.Sort(groups[tag.Name])
		for _, key := range groups[tag.Name] {
			path, method, _ := strings.Cut(key, " ")
			operation(&b, method, path, doc.Paths.Value(path).GetOperation(method))
		}
	}
	b.WriteString("## Schemas\n\n")
	for _, name := range slices.Sorted(maps.Keys(doc.Components.Schemas)) {
		fields(&b, name, doc.Components.Schemas[name].Value)
	}
	return b.Bytes()
}

func operation(b *bytes.Buffer, method, path string, op *openapi3.Operation) {
	fmt.Fprintf(b, "### `%s %s`\n\n%s\n\n", method, path, strings.TrimSpace(op.Description))
	for _, p := range op.Parameters {
		fmt.Fprintf(b, "- `%s` in the %s, %s: %s\n", p.Value.Name, p.Value.In, typeOf(p.Value.Schema), line(p.Value.Description))
	}
	if op.RequestBody != nil {
		content(b, "takes", op.RequestBody.Value.Content)
	}
	for _, status := range slices.Sorted(maps.Keys(op.Responses.Map())) {
		if status[0] == '2' {
			answer := op.Responses.Value(status).Value
			if len(answer.Content) == 0 {
				fmt.Fprintf(b, "- answers %s\n", status)
			}
			content(b, "answers "+status, answer.Content)
		}
	}
	b.WriteString("\n")
}

func content(b *bytes.Buffer, what string, c openapi3.Content) {
	for _, kind := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(b, "- %s `%s`: %s\n", what, kind, typeOf(c[kind].Schema))
	}
}

// typeOf names a schema; one with a name of its own is a link.
func typeOf(s *openapi3.SchemaRef) string {
	switch {
	case s == nil || s.Value == nil:
		return "anything"
	case s.Ref != "":
		name := s.Ref[strings.LastIndex(s.Ref, "/")+1:]
		return fmt.Sprintf("[%s](#%s)", name, strings.ToLower(name))
	}
	var all []string
	for _, part := range slices.Concat(s.Value.AllOf, s.Value.OneOf, s.Value.AnyOf) {
		all = append(all, typeOf(part))
	}
	switch {
	case len(all) > 0:
		return strings.Join(all, " or ")
	case s.Value.Type.Is("array"):
		return "list of " + typeOf(s.Value.Items)
	case s.Value.Type == nil || len(*s.Value.Type) == 0:
		return "anything"
	case s.Value.Type.Is("object") && s.Value.AdditionalProperties.Schema != nil:
		return "object of " + typeOf(s.Value.AdditionalProperties.Schema)
	}
	return strings.Join(*s.Value.Type, " or ")
}

func fields(b *bytes.Buffer, name string, s *openapi3.Schema) {
	fmt.Fprintf(b, "### %s\n\n", name)
	if s.Description != "" {
		fmt.Fprintf(b, "%s\n\n", line(s.Description))
	}
	if len(s.Properties) == 0 {
		fmt.Fprintf(b, "%s\n\n", typeOf(&openapi3.SchemaRef{Value: s}))
		return
	}
	b.WriteString("| field | type | |\n|---|---|---|\n")
	for _, field := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[field]
		text := line(p.Value.Description)
		if len(p.Value.Enum) > 0 {
			text = strings.TrimSpace(fmt.Sprintf("%s one of %v", text, p.Value.Enum))
		}
		if p.Value.Default != nil {
			text = strings.TrimSpace(fmt.Sprintf("%s (default %v)", text, p.Value.Default))
		}
		needed := ""
		if slices.Contains(s.Required, field) {
			needed = ", required"
		}
		fmt.Fprintf(b, "| `%s` | %s%s | %s |\n", field, typeOf(p), needed, strings.ReplaceAll(text, "|", "\\|"))
	}
	b.WriteString("\n")
}

func line(s string) string { return strings.Join(strings.Fields(s), " ") }
