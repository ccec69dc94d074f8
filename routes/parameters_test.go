package routes

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"lorikeet/inference"
)

// What the document says of the parameters is what is done.
func TestParametersAreAsDocumented(t *testing.T) {
	s := newService(t, nil)
	schema := s.document.Components.Schemas["GenerationParameters"].Value
	standard := reflect.ValueOf(inference.DefaultParameters())
	names := map[string]string{"do_sample": "Sample", "no_repeat_ngram_size": "NoRepeatNgram"}
	fits := func(field string, value any) bool {
		body := map[string]any{"prompt": "a", "parameters": map[string]any{field: value}}
		if field == "min_new_tokens" {
			body["parameters"].(map[string]any)["max_new_tokens"] = mostNewTokens
		}
		return s.do("POST", "/generate", body).status == 200
	}
	for field, ref := range schema.Properties {
		name := names[field]
		if name == "" {
			for part := range strings.SplitSeq(field, "_") {
				name += strings.ToUpper(part[:1]) + part[1:]
			}
		}
		v := standard.FieldByName(name)
		if !v.IsValid() {
			t.Fatalf("%s: inference.Parameters has no %s", field, name)
		}
		if d := ref.Value.Default; d != nil && fmt.Sprint(d) != fmt.Sprint(v.Interface()) || d == nil && !v.IsZero() {
			t.Errorf("%s: default %v in the document, %v in inference", field, d, v)
		}
		if low := ref.Value.Min; low != nil {
			excluded := ref.Value.ExclusiveMin.IsSet()
			if fits(field, *low) == excluded || fits(field, *low-1) {
				t.Errorf("%s: its least is not %v (excluded %v)", field, *low, excluded)
			}
		}
		if high := ref.Value.Max; high != nil && (!fits(field, *high) || fits(field, *high+1)) {
			t.Errorf("%s: its most is not %v", field, *high)
		}
	}
	if took := s.do("POST", "/generate", `{"prompt":"a","parameters":{"stop":["`+strings.Repeat(`a","`, mostStops-1)+`b"]}}`); took.status != 200 {
		t.Errorf("%d stop strings: %s", mostStops, took.body)
	}
	if most := schema.Properties["stop"].Value.OneOf[1].Value.MaxItems; most == nil || *most != mostStops {
		t.Errorf("the document allows %v stop strings", most)
	}
}
