package openapi

import (
	"fmt"
	"maps"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
)

// finish says what OpenAPI 2.0 could not.
func finish(doc *openapi3.T, scopes map[string]string) error {
	doc.Servers = openapi3.Servers{{URL: "/", Description: "this server"}}
	doc.Components.SecuritySchemes = schemes()
	if err := openai(doc); err != nil {
		return err
	}
	if err := polymorphic(doc); err != nil {
		return err
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			scope := scopes[method+" "+path]
			secure(op, scope)
			bodies(doc, op)
			answers(method, path, scope, op)
		}
	}
	return illustrate(doc)
}

// ref points at a schema of the document.
func ref(name string) *openapi3.SchemaRef {
	return openapi3.NewSchemaRef("#/components/schemas/"+name, nil)
}

func inline(s *openapi3.Schema) *openapi3.SchemaRef { return openapi3.NewSchemaRef("", s) }

func text(about string) *openapi3.SchemaRef {
	return inline(&openapi3.Schema{Type: &openapi3.Types{"string"}, Description: about})
}

func listOf(item *openapi3.SchemaRef, about string) *openapi3.SchemaRef {
	return inline(&openapi3.Schema{Type: &openapi3.Types{"array"}, Items: item, Description: about})
}

func oneOf(about string, kinds ...*openapi3.SchemaRef) *openapi3.SchemaRef {
	return inline(&openapi3.Schema{OneOf: kinds, Description: about})
}

func object(about string, required []string, fields map[string]*openapi3.SchemaRef) *openapi3.SchemaRef {
	return inline(&openapi3.Schema{Type: &openapi3.Types{"object"}, Description: about, Required: required, Properties: fields})
}

func atLeastOne(list *openapi3.SchemaRef) *openapi3.SchemaRef {
	list.Value.MinItems = 1
	return list
}

func stopString() *openapi3.SchemaRef {
	s := text("one string")
	s.Value.MinLength = 1
	return s
}

func stopStrings() *openapi3.SchemaRef {
	s := listOf(stopString(), "at most 16, each at most 256 bytes")
	s.Value.MaxItems = openapi3.Ptr(uint64(16))
	return s
}

// The names that adapters.CheckName takes, alone and with a version.
const (
	namePattern = `^[a-z0-9][a-z0-9._-]{0,63}$`
	refPattern  = `^[a-z0-9][a-z0-9._-]{0,63}(@[1-9][0-9]*)?$`
)

func named(s *openapi3.SchemaRef) *openapi3.SchemaRef {
	s.Value.Pattern = namePattern
	return s
}

func nullable(s *openapi3.SchemaRef) *openapi3.SchemaRef {
	if s.Ref != "" { // in 3.0 nothing may stand beside a reference
		return inline(&openapi3.Schema{AllOf: openapi3.SchemaRefs{s}, Nullable: true})
	}
	s.Value.Nullable = true
	return s
}

// schema finds a schema by name, and one of its fields.
func schema(doc *openapi3.T, name string) (*openapi3.Schema, error) {
	s := doc.Components.Schemas[name]
	if s == nil || s.Value == nil {
		return nil, fmt.Errorf("openapi: the document has no schema %s; run go generate ./openapi, or mend openapi/finish.go", name)
	}
	return s.Value, nil
}

// polymorphic gives the fields with several types their types, and says which fields
// must and which may not be there.
func polymorphic(doc *openapi3.T) error {
	number := func(about string) *openapi3.SchemaRef {
		return inline(&openapi3.Schema{Type: &openapi3.Types{"number"}, Format: "double", Description: about})
	}
	doc.Components.Schemas["Input"] = object("A text, or a pair of texts.", []string{"text"}, map[string]*openapi3.SchemaRef{
		"text": text(""), "text_pair": nullable(text("the second text, for tasks that compare two")),
	})
	row := func(required []string, fields map[string]*openapi3.SchemaRef) *openapi3.SchemaRef {
		s := object("", required, fields)
		s.Value.AdditionalProperties = openapi3.AdditionalProperties{Has: openapi3.Ptr(false)}
		return s
	}
	type fields = map[string]*openapi3.SchemaRef
	doc.Components.Schemas["Row"] = oneOf("One row, in the canonical form of its kind.",
		row([]string{"text", "label"}, fields{"text": text(""), "text_pair": text(""), "label": text("")}),
		row([]string{"text", "target"}, fields{"text": text(""), "text_pair": text(""), "target": number("")}),
		row([]string{"instruction", "output"}, fields{"instruction": text(""), "input": text(""), "output": text("")}),
		row([]string{"messages"}, fields{"messages": listOf(ref("Message"), "")}),
		row([]string{"source", "target"}, fields{"source": text(""), "target": text("")}),
		row([]string{"text"}, fields{"text": text("")}),
	)
	rawRow := inline(&openapi3.Schema{Type: &openapi3.Types{"object"}, Description: "a row, such as {\"text\": …, \"label\": …}"})

	err := retype(doc, []retyped{
		{"PredictRequest", "inputs", oneOf("one text, a list of texts, or a list of objects; a list of two strings is two texts, not a pair",
			text("one text"), atLeastOne(listOf(oneOf("", text("one text"), ref("Input")), "one result comes back for each")))},
		{"PredictRequest", "adapters", listOf(nullable(text("")), "one for each input, null for the bare base; excludes adapter")},
		{"PredictRequest", "fan_out", atLeastOne(listOf(nullable(text("")), "every one of these answers every input, null being the bare base; excludes adapter and adapters"))},
		{"GenerateRequest", "messages", atLeastOne(listOf(ref("Turn"), "a conversation: a system message perhaps, then user and assistant in turn; the user's comes last"))},
		{"GenerationParameters", "stop", oneOf("the text ends before these", stopString(), stopStrings())},
		{"RowSource", "rows", listOf(rawRow, "the rows themselves")},
		{"FeedbackRequest", "row", rawRow},
		{"RowSource", "split", oneOf("beside hf the name of the split; as validation the share of the training rows to hold back",
			text(""), number("between 0 and 1"))},
		{"LoRAOptions", "target_modules", oneOf("the linear layers that get an adapter",
			listOf(text(""), "their names, or the ends of their paths"), text("a regular expression over their paths, or \"all-linear\""))},
		{"Event", "data", inline(&openapi3.Schema{AnyOf: openapi3.SchemaRefs{ref("StepData"), ref("EvalData"), rawEvent()}, Description: "what a step, an eval, a checkpoint or a status event tells"})},
		{"Prediction", "adapter", nullable(ref("AdapterRef"))},
		{"Generation", "adapter", nullable(ref("AdapterRef"))},
		{"PredictionResult", "label", nullable(text("null: the model abstains"))},
		{"PredictionResult", "index", nullable(inline(&openapi3.Schema{Type: &openapi3.Types{"integer"}, Description: "of the label among the model's; null: the model abstains"}))},
	})
	if err != nil {
		return err
	}
	for _, c := range []struct{ schema, field, pattern string }{
		{"PredictRequest", "model", refPattern}, {"PredictRequest", "adapter", refPattern},
		{"GenerateRequest", "model", refPattern}, {"GenerateRequest", "adapter", refPattern},
		{"TuneRequest", "name", namePattern}, {"AdapterSource", "name", namePattern}, {"AdapterSource", "model", namePattern},
		{"FeedbackRequest", "collection", namePattern}, {"FeedbackRequest", "model", refPattern}, {"FeedbackRequest", "adapter", refPattern},
	} {
		s, err := schema(doc, c.schema)
		if err != nil {
			return err
		}
		s.Properties[c.field].Value.Pattern = c.pattern
	}
	for _, c := range []struct{ schema, field string }{{"PredictRequest", "top_k"}, {"RollbackRequest", "version"}, {"EarlyStopping", "patience"}} {
		s, err := schema(doc, c.schema)
		if err != nil {
			return err
		}
		s.Properties[c.field].Value.Min = openapi3.Ptr(1.0)
	}
	topP, err := schema(doc, "GenerationParameters")
	if err != nil {
		return err
	}
	topP.Properties["top_p"].Value.Min = openapi3.Ptr(0.0)
	topP.Properties["top_p"].Value.ExclusiveMin = openapi3.ExclusiveBound{Bool: openapi3.Ptr(true)}
	for name, required := range map[string][]string{
		"TuneRequest": {"dataset", "model", "name"}, // the kind stands in the path
	} {
		s, err := schema(doc, name)
		if err != nil {
			return err
		}
		s.Required = required
	}
	if s, err := schema(doc, "TuneRequest"); err != nil {
		return err
	} else {
		delete(s.Properties, "tenant") // swag does not see that the request hides the spec's
	}
	// What callers send is read strictly.
	for _, name := range append([]string{"PredictRequest", "Input", "GenerateRequest", "GenerationParameters", "Turn", "TuneRequest", "RollbackRequest", "TrafficRequest", "CleanRequest", "FeedbackRequest", "FeedbackDatasetRequest", "MergeRequest", "MergePart", "AdapterSource", "CreateKeyRequest",
		"RowSource", "Hyperparameters", "LoRAOptions", "EarlyStopping", "Evaluate", "Promote"}, openaiRequests...) {
		s, err := schema(doc, name)
		if err != nil {
			return err
		}
		s.AdditionalProperties = openapi3.AdditionalProperties{Has: openapi3.Ptr(false)}
		for _, field := range slices.Sorted(maps.Keys(s.Properties)) {
			if !slices.Contains(s.Required, field) {
				s.Properties[field] = nullable(s.Properties[field]) // null is "not given"
			}
		}
	}
	return nil
}

// retyped is a field whose type swag could not see.
type retyped struct {
	schema, field string
	to            *openapi3.SchemaRef
}

func retype(doc *openapi3.T, all []retyped) error {
	for _, c := range all {
		s, err := schema(doc, c.schema)
		if err != nil {
			return err
		}
		if s.Properties[c.field] == nil {
			return fmt.Errorf("openapi: schema %s has no field %s", c.schema, c.field)
		}
		s.Properties[c.field] = c.to
	}
	return nil
}

func rawEvent() *openapi3.SchemaRef {
	return inline(&openapi3.Schema{Type: &openapi3.Types{"object"}})
}

// bodies gives the operations that take a file their content types.
func bodies(doc *openapi3.T, op *openapi3.Operation) {
	// A form has a name, for generators that make a type of it.
	form := func(name string, required []string, fields map[string]*openapi3.SchemaRef) *openapi3.MediaType {
		doc.Components.Schemas[name] = object("", required, fields)
		return openapi3.NewMediaType().WithSchemaRef(openapi3.NewSchemaRef("#/components/schemas/"+name, doc.Components.Schemas[name].Value))
	}
	file := func(about string) *openapi3.SchemaRef {
		return inline(&openapi3.Schema{Type: &openapi3.Types{"string"}, Format: "binary", Description: about})
	}
	switch op.OperationID {
	case "openaiCreateFile":
		op.RequestBody.Value.Content = openapi3.Content{"multipart/form-data": form("FileForm", []string{"file", "purpose"}, map[string]*openapi3.SchemaRef{
			"file":    file("the file"),
			"purpose": inline(&openapi3.Schema{Type: &openapi3.Types{"string"}, Enum: []any{"fine-tune"}}),
		})}
		op.RequestBody.Value.Required = true
	case "createDataset":
		content := openapi3.Content{"multipart/form-data": form("DatasetForm", []string{"file"}, map[string]*openapi3.SchemaRef{
			"format": text("as in the query; comes before the file"),
			"name":   text("as in the query; comes before the file"),
			"file":   file("the file, as the last part"),
		})}
		for _, media := range []string{"application/octet-stream", "text/csv", "text/tab-separated-values", "text/plain",
			"application/x-ndjson", "application/jsonl", "application/json", "application/vnd.apache.parquet"} {
			content[media] = openapi3.NewMediaType().WithSchemaRef(file("the file"))
		}
		op.RequestBody.Value.Content = content
		op.RequestBody.Value.Required = true
	case "createAdapter":
		op.RequestBody.Value.Content["multipart/form-data"] = form("AdapterForm", []string{"name", "adapter_config.json", "adapter_model.safetensors"}, map[string]*openapi3.SchemaRef{
			"name":                      named(text("name of the adapter")),
			"model":                     named(text("its base; may be left out when there is only one")),
			"adapter_config.json":       file("PEFT's configuration"),
			"adapter_model.safetensors": file("PEFT's weights"),
			"calibration.json":          file("the calibration of an adapter that was tuned here"),
		})
	}
}
