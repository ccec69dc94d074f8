package openapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

func document(t *testing.T) *openapi3.T {
	t.Helper()
	text, err := JSON(map[string]string{"POST /predict": "predict"})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestDocumentIsValid(t *testing.T) {
	doc := document(t)
	if err := doc.Validate(t.Context(), openapi3.EnableExamplesValidation(), openapi3.EnableSchemaFormatValidation()); err != nil {
		t.Error(err)
	}
	if doc.OpenAPI != "3.0.3" || len(doc.Servers) != 1 || doc.Paths.Find("/predict").Post.Extensions["x-scope"] != "predict" {
		t.Errorf("OpenAPI %s, servers %v", doc.OpenAPI, doc.Servers)
	}
	for name := range doc.Components.Schemas {
		if !regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`).MatchString(name) {
			t.Errorf("schema %q is not a name for a generated client", name)
		}
	}
}

// Every operation shows what to send and what comes back, and what it shows is true.
func TestExamples(t *testing.T) {
	doc := document(t)
	seen := map[string]bool{}
	check := func(t *testing.T, what string, m *openapi3.MediaType) {
		t.Helper()
		examples := map[string]any{}
		for name, e := range m.Examples {
			examples[name] = e.Value.Value
		}
		if m.Example != nil {
			examples[""] = m.Example
		}
		if len(examples) == 0 {
			t.Errorf("%s has no example", what)
		}
		for name, e := range examples {
			seen[what+strings.TrimRight(" "+name, " ")] = true
			if err := m.Schema.Value.VisitJSON(e, openapi3.MultiErrors()); err != nil {
				t.Errorf("%s %s: the example does not fit: %v", what, name, err)
			}
		}
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			t.Run(method+" "+path, func(t *testing.T) {
				if op.RequestBody != nil {
					if m := op.RequestBody.Value.Content["application/json"]; m != nil && m.Schema.Value.Format != "binary" {
						check(t, op.OperationID+" request application/json", m)
					}
					if !op.RequestBody.Value.Required {
						t.Error("the body is optional")
					}
				}
				for code, r := range op.Responses.Map() {
					if r.Value.Description == nil || *r.Value.Description == "" {
						t.Errorf("%s is not described", code)
					}
					for media, m := range r.Value.Content {
						switch {
						case media == "application/json", media == "text/event-stream":
							check(t, op.OperationID+" "+code+" "+media, m)
						case media == "application/problem+json" && m.Example != nil:
							check(t, op.OperationID+" "+code+" "+media, m)
						case media == "application/problem+json" && problems[code] != nil:
							t.Errorf("%s: the example is lost", code)
						}
						seen[op.OperationID+" "+code+" "+media] = true
					}
				}
				if op.RequestBody != nil {
					for media := range op.RequestBody.Value.Content {
						seen[op.OperationID+" request "+media] = true
					}
				}
			})
		}
	}
	var examples map[string]map[string]any
	if err := json.Unmarshal(exampleFile, &examples); err != nil {
		t.Fatal(err)
	}
	for id, all := range examples {
		for key := range all {
			if !seen[id+" "+key] {
				t.Errorf("examples.json has %s %s, the document has no place for it", id, key)
			}
		}
	}
}

// Statuses named in the code belong to operations that exist.
func TestFailuresAreOfOperations(t *testing.T) {
	var ids []string
	for _, item := range document(t).Paths.Map() {
		for _, op := range item.Operations() {
			ids = append(ids, op.OperationID)
		}
	}
	for id, codes := range failures {
		if !slices.Contains(ids, id) {
			t.Errorf("no operation %s", id)
		}
		for _, code := range codes {
			if about[code] == "" {
				t.Errorf("%s: %d is not explained", id, code)
			}
		}
	}
	for code := range about {
		if http.StatusText(code) == "" {
			t.Errorf("%d is no status", code)
		}
	}
}

// The committed file is what swag makes of the comments.
func TestSwaggerIsFresh(t *testing.T) {
	directive := regexp.MustCompile(`(?m)^//go:generate go (run \S+@\S+ .*)$`)
	source, err := os.ReadFile("openapi.go")
	if err != nil {
		t.Fatal(err)
	}
	found := directive.FindSubmatch(source)
	if found == nil {
		t.Fatal("no go:generate line")
	}
	// go test remembers a result until a file changes that the test has read.
	for _, pattern := range []string{"../routes/*.go", "../tuning/*.go", "../tuning/*/*.go", "../adapters/*.go", "../adapters/*/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, f := range files {
			if _, err := os.ReadFile(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	args := strings.Fields(string(found[1]))
	if out, err := exec.CommandContext(t.Context(), "go", args[0], args[1], "--version").CombinedOutput(); err != nil {
		t.Skipf("missing %s: %v: %s", args[1], err, out)
	}
	dir := t.TempDir()
	for i, a := range args {
		if a == "--output" {
			args[i+1] = dir
		}
	}
	if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
		t.Fatalf("swag: %v: %s", err, out)
	}
	fresh, err := os.ReadFile(filepath.Join(dir, "swagger.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(fresh, swagger) {
		t.Error("swagger.json is not what the comments say; run go generate ./openapi")
	}
}

func TestPageNeedsNothingFromElsewhere(t *testing.T) {
	text := string(Page())
	for _, bad := range []string{"http://", "https://", "innerHTML", "eval(", "style=", "onclick="} {
		if strings.Contains(text, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	for _, element := range []string{"<script>", "<style>"} {
		if strings.Count(text, element) != 1 {
			t.Errorf("the policy knows one %s", element)
		}
	}
	if p := PagePolicy(); strings.Count(p, "sha256-") != 2 || strings.Contains(p, "unsafe") {
		t.Error(p)
	}
}

func TestTidyRefusesTwoSchemasOfOneName(t *testing.T) {
	_, err := tidy([]byte(`{"definitions":{"a.Thing":{},"b.thing":{}}}`))
	if err == nil || !strings.Contains(err.Error(), "Thing") {
		t.Errorf("error %v", err)
	}
}
