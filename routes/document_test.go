package routes

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"lorikeet/tuning/data"
	"lorikeet/tuning/datasets"
	"lorikeet/tuning/train"
)

// The table and the document say the same, in both directions.
func TestTableAndDocumentAgree(t *testing.T) {
	s := newService(t, nil)
	documented := map[string]*openapi3.Operation{}
	for path, item := range s.document.Paths.Map() {
		for method, op := range item.Operations() {
			documented[method+" "+path] = op
		}
	}
	ids := map[string]string{}
	for _, o := range s.handler.table {
		name := o.method + " " + o.path
		t.Run(name, func(t *testing.T) {
			op := documented[name]
			if op == nil {
				t.Fatalf("is not in the document: write its comment, then go generate ./openapi")
			}
			delete(documented, name)
			if op.OperationID == "" || ids[op.OperationID] != "" {
				t.Errorf("operation id %q is also %s's", op.OperationID, ids[op.OperationID])
			}
			ids[op.OperationID] = name
			if op.Summary == "" || op.Description == "" || len(op.Tags) != 1 {
				t.Error("lacks a summary, a description or its one tag")
			}
			if op.Responses.Status(o.status) == nil {
				t.Errorf("answers %d, the document has %v", o.status, op.Responses.Keys())
			}
			if op.Responses.Default() == nil || op.Responses.Value("400") == nil || op.Responses.Value("500") == nil {
				t.Errorf("lacks errors: %v", op.Responses.Keys())
			}
			if op.Extensions["x-scope"] != string(o.scope) || o.scope == "" {
				t.Errorf("scope %v, the table has %q", op.Extensions["x-scope"], o.scope)
			}
			compareParameters(t, o, op)
			compareBody(t, o, op)
			compareAnswer(t, o, op)
		})
	}
	for name := range documented {
		t.Errorf("the document has %s, the table does not", name)
	}
}

// undocumented are headers that are read but are no parameters in OpenAPI.
var undocumented = []string{"header Accept"}

func compareParameters(t *testing.T, o operation, op *openapi3.Operation) {
	t.Helper()
	var inDocument, inTable []string
	for _, p := range op.Parameters {
		inDocument = append(inDocument, fmt.Sprintf("%s %s %s", p.Value.In, p.Value.Name, strings.Join(p.Value.Schema.Value.Type.Slice(), "")))
		if required := p.Value.In == "path"; p.Value.Required != required {
			t.Errorf("parameter %s: required is %v", p.Value.Name, p.Value.Required)
		}
		standard := ""
		if d := p.Value.Schema.Value.Default; d != nil {
			standard = fmt.Sprint(d)
		}
		for _, q := range o.endpoint.shape.params {
			if q.name == p.Value.Name && q.standard != standard {
				t.Errorf("parameter %s: default %q, the document has %q", q.name, q.standard, standard)
			}
		}
		if p.Value.Description == "" {
			t.Errorf("parameter %s is not described", p.Value.Name)
		}
	}
	kinds := map[reflect.Kind]string{reflect.String: "string", reflect.Int: "integer", reflect.Bool: "boolean"}
	for _, p := range o.endpoint.shape.params {
		if name := p.in + " " + p.name; !slices.Contains(undocumented, name) {
			inTable = append(inTable, name+" "+kinds[p.kind])
		}
		if p.in == "path" && !strings.Contains(o.path, "{"+p.name+"}") {
			t.Errorf("the path has no {%s}", p.name)
		}
	}
	slices.Sort(inDocument)
	slices.Sort(inTable)
	if !slices.Equal(inDocument, inTable) {
		t.Errorf("parameters in the document: %q\nin the request type: %q", inDocument, inTable)
	}
}

func compareBody(t *testing.T, o operation, op *openapi3.Operation) {
	t.Helper()
	if (o.endpoint.shape.body == noBody) != (op.RequestBody == nil) {
		t.Fatalf("one of table and document has a body, the other not")
	}
	if o.endpoint.shape.body != jsonBody {
		return
	}
	compareFields(t, "request", o.endpoint.request, op.RequestBody.Value.Content["application/json"].Schema)
}

// special are the answers that write themselves, with what they write as JSON.
var special = map[reflect.Type]reflect.Type{
	reflect.TypeFor[submission]():                       reflect.TypeFor[job](),
	reflect.TypeFor[eventFeed]():                        nil,
	reflect.TypeFor[writing]():                          reflect.TypeFor[generation](),
	reflect.TypeFor[storedFile]():                       nil,
	reflect.TypeFor[folderFile]():                       nil,
	reflect.TypeFor[static]():                           nil,
	reflect.TypeFor[homePage]():                         nil,
	reflect.TypeFor[pageFile]():                         nil,
	reflect.TypeFor[passed]():                           nil,
	reflect.TypeFor[none]():                             nil,
	reflect.TypeFor[createdDataset]():                   reflect.TypeFor[datasets.Dataset](),
	reflect.TypeFor[createdAdapter]():                   reflect.TypeFor[adapterVersion](),
	reflect.TypeFor[completionAnswer[chatCompletion]](): reflect.TypeFor[chatCompletion](),
	reflect.TypeFor[completionAnswer[completion]]():     reflect.TypeFor[completion](),
	reflect.TypeFor[fileContent]():                      nil,
	reflect.TypeFor[createdJob]():                       reflect.TypeFor[tuningJob](),
}

func compareAnswer(t *testing.T, o operation, op *openapi3.Operation) {
	t.Helper()
	answer := o.endpoint.response
	if as, ok := special[answer]; ok {
		answer = as
	}
	m := op.Responses.Status(o.status).Value.Content["application/json"]
	if answer == nil {
		return
	}
	if m == nil {
		t.Fatalf("answers with %v, the document with nothing", answer)
	}
	compareFields(t, "answer", answer, m.Schema)
}

// compareFields walks a Go type and a schema side by side.
func compareFields(t *testing.T, at string, goType reflect.Type, ref *openapi3.SchemaRef) {
	t.Helper()
	schema := ref.Value
	for len(schema.AllOf) == 1 { // how 3.0 puts something beside a reference
		schema = schema.AllOf[0].Value
	}
	for goType.Kind() == reflect.Pointer {
		goType = goType.Elem()
	}
	if goType != reflect.TypeFor[time.Time]() && reflect.PointerTo(goType).Implements(unmarshaler) {
		return // reads itself; TestPolymorphicFields
	}
	switch goType.Kind() {
	case reflect.Slice:
		if schema.Items == nil {
			t.Errorf("%s: a list in Go, %v in the document", at, schema.Type)
			return
		}
		compareFields(t, at+"[]", goType.Elem(), schema.Items)
	case reflect.Struct:
		if goType == reflect.TypeFor[time.Time]() {
			if schema.Format != "date-time" {
				t.Errorf("%s: a time with format %q", at, schema.Format)
			}
			return
		}
		fields := bodyFields(goType)
		inGo, inDocument := slices.Sorted(maps.Keys(fields)), slices.Sorted(maps.Keys(schema.Properties))
		if !slices.Equal(inGo, inDocument) {
			t.Errorf("%s: fields %q in Go\n%q in the document", at, inGo, inDocument)
			return
		}
		for name, field := range fields {
			compareFields(t, at+"."+name, field, schema.Properties[name])
		}
	}
}

func TestPolymorphicFields(t *testing.T) {
	s := newService(t, nil)
	check := func(schema, text string, fits bool) {
		t.Helper()
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		if err := s.document.Components.Schemas[schema].Value.VisitJSON(v); (err == nil) != fits {
			t.Errorf("%s %s: fits is %v: %v", schema, text, err == nil, err)
		}
	}
	for text, fits := range map[string]bool{
		`{"inputs":"a"}`: true, `{"inputs":["a","b"]}`: true, `{"inputs":[{"text":"a","text_pair":"b"},"c"]}`: true,
		`{"inputs":["a","b"],"adapter":null,"adapters":["x",null],"top_k":null}`: true,
		`{}`: false, `{"inputs":1}`: false, `{"inputs":["a",1]}`: false, `{"inputs":[{"text_pair":"b"}]}`: false,
		`{"inputs":[{"text":"a","pair":"b"}]}`: false, `{"inputs":"a","mdoel":"b"}`: false,
	} {
		check("PredictRequest", text, fits)
		// The document and the decoder take and refuse the same.
		var in predictRequest
		err := decodeJSON([]byte(text), &in)
		if err == nil {
			_, err = predict{engine: s.engine, limits: Limits{Inputs: 8}}.request(t.Context(), in)
		}
		if (err == nil) != fits {
			t.Errorf("%s: the decoder says %v", text, err)
		}
	}
	for text, fits := range map[string]bool{
		`{"prompt":"a"}`: true, `{"prompt":"","parameters":{}}`: true, `{"instruction":"a","input":"b","adapter":null}`: true,
		`{"messages":[{"role":"user","content":"a"}],"parameters":{"stop":["a"],"seed":null}}`: true, `{"prompt":"a","parameters":{"stop":"a"},"stream":null}`: true,
		`{"prompt":1}`: false, `{"messages":[]}`: false, `{"messages":[{"role":"robot","content":"a"}]}`: false, `{"messages":[{"role":"user"}]}`: false,
		`{"prompt":"a","parameters":{"stop":[""]}}`: false, `{"prompt":"a","parameters":{"stop":{}}}`: false, `{"prompt":"a","template":"vicuna","temperature":1}`: false,
	} {
		check("GenerateRequest", text, fits)
		var in generateRequest
		err := decodeJSON([]byte(text), &in)
		if err == nil {
			_, err = generate{engine: s.engine}.order(t.Context(), in)
		}
		if (err == nil) != fits {
			t.Errorf("%s: the decoder says %v", text, err)
		}
	}
	check("Generation", `{"text":"",`+strings.TrimPrefix(lastFrame, "data: {"), true) // the end of a stream is an answer without its text
	for text, fits := range map[string]bool{
		`{"id":"ds_x"}`: true, `{"rows":[{"text":"a"}]}`: true, `{"hf":"a/b","split":"train"}`: true, `{"split":0.1}`: true,
		`{"split":true}`: false, `{"rows":["a"]}`: false, `{"url":"x"}`: false,
	} {
		check("RowSource", text, fits)
	}
	for text, fits := range map[string]bool{
		`{"target_modules":["a"]}`: true, `{"target_modules":"all-linear"}`: true, `{"target_modules":1}`: false, `{"rank":1}`: false, `{"r":null}`: true,
	} {
		check("LoRAOptions", text, fits)
	}
	one := 1.5
	for _, row := range []data.Row{
		{Kind: data.Classification, Text: "a", Label: "b", Pair: new("c")}, {Kind: data.Regression, Text: "a", Target: &one},
		{Kind: data.Instruction, Instruction: "a", Output: "b"}, {Kind: data.Chat, Messages: []data.Message{{Role: "user", Content: "a"}}},
		{Kind: data.Seq2Seq, Source: "a", TargetText: "b"}, {Kind: data.Text, Text: "a"},
	} {
		text, err := row.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		check("Row", string(text), true)
	}
	compareFields(t, "Plan", reflect.TypeFor[train.Plan](), s.document.Components.Schemas["Plan"])
	compareFields(t, "Input", reflect.TypeFor[inputPair](), s.document.Components.Schemas["Input"])
	compareFields(t, "AdapterSource", reflect.TypeFor[adapterSource](), s.document.Components.Schemas["AdapterSource"])
	compareFields(t, "Problem", reflect.TypeFor[Problem](), s.document.Components.Schemas["Problem"])
}

// Every error of the list has a status that some operation documents.
func TestEveryFailureIsDocumented(t *testing.T) {
	s := newService(t, nil)
	known := map[string]bool{}
	for _, item := range s.document.Paths.Map() {
		for _, op := range item.Operations() {
			for _, code := range op.Responses.Keys() {
				known[code] = true
			}
		}
	}
	codes := map[string]error{}
	for _, f := range failures {
		if f.status != 405 && !known[strconv.Itoa(f.status)] {
			t.Errorf("%s: no operation documents %d", f.code, f.status)
		}
		if f.title == "" || f.code == "" {
			t.Errorf("%v lacks a title or a code", f.err)
		}
		codes[f.code] = f.err
	}
	for _, code := range []string{"malformed_json", "unknown_field", "adapter_not_found", "queue_full", "no_space"} { // promised
		if codes[code] == nil {
			t.Errorf("nothing has the code %s", code)
		}
	}
}
