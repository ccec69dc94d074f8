package openapi

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
)

// names are the schemas whose Go name is not what a reader of the document, or a
// generated client, should see. All others lose their package and begin with a
// capital letter; page[X] becomes XPage and
// listing[X] XList.
var names = map[string]string{
	"data.Kind":     "DatasetKind",
	"tuning.Kind":   "JobKind",
	"tuning.Result": "JobResult",
	"tuning.Source": "RowSource",
	"tuning.Spec":   "TuneSpec",
	"tuning.Status": "JobStatus",
}

// tidy gives the schemas of a swag file readable names, and mends what swag gets
// wrong about types: times are strings with a format, float64 is called double.
func tidy(text []byte) ([]byte, error) {
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	definitions, _ := doc["definitions"].(map[string]any)
	renamed := map[string]any{}
	for old, schema := range definitions {
		name := schemaName(old)
		if _, taken := renamed[name]; taken {
			return nil, fmt.Errorf("two schemas would be called %s; name one of them in openapi/tidy.go", name)
		}
		renamed[name] = schema
	}
	doc["definitions"] = renamed
	mend("", doc)
	return json.Marshal(doc)
}

func schemaName(old string) string {
	if name, ok := names[old]; ok {
		return name
	}
	if _, item, ok := strings.Cut(old, ".page-"); ok {
		return schemaName(strings.Replace(item, "_", ".", 1)) + "Page"
	}
	if _, item, ok := strings.Cut(old, ".listing-"); ok {
		return schemaName(strings.Replace(item, "_", ".", 1)) + "List"
	}
	name := old[strings.LastIndexByte(old, '.')+1:]
	first := []rune(name)
	first[0] = unicode.ToUpper(first[0])
	return string(first)
}

// long reports whether a number of this name does not fit into 32 bits, which some
// generated clients give it otherwise.
func long(name string) bool {
	switch name {
	case "created", "estimated_finish", "seed", "shuffle_seed", "bytes", "parameters":
		return true
	}
	return strings.HasSuffix(name, "_at") || strings.HasSuffix(name, "_bytes")
}

// mend walks the whole document. key is the name that v stands under.
func mend(key string, v any) {
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			v["$ref"] = "#/definitions/" + schemaName(strings.TrimPrefix(ref, "#/definitions/"))
		}
		if v["format"] == "float64" {
			v["format"] = "double"
		}
		if v["type"] == "string" && (key == "time" || strings.HasSuffix(key, "_at")) {
			v["format"] = "date-time"
		}
		if v["type"] == "integer" && v["format"] == nil && long(key) {
			v["format"] = "int64"
		}
		delete(v, "x-enum-varnames") // Go's names of constants are nobody's business
		delete(v, "x-enum-comments")
		delete(v, "x-enum-descriptions")
		for k, inner := range v {
			mend(k, inner)
		}
	case []any:
		for _, inner := range v {
			mend(key, inner)
		}
	}
}
