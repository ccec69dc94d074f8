package routes

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"lorikeet/inference"
	"lorikeet/inference/prompt"
)

func TestGenerateReads(t *testing.T) {
	s := newService(t, nil)
	standard := inference.DefaultParameters()
	drawn := inference.Parameters{MaxNewTokens: 9, MinNewTokens: 2, NumBeams: 1, LengthPenalty: 1, Sample: true, Temperature: .5, TopK: 40, TopP: .9,
		RepetitionPenalty: 1.2, NoRepeatNgram: 3, Stop: []string{"a", "b"}, Seed: new(uint64(7))}
	beams := standard
	beams.NumBeams, beams.LengthPenalty, beams.EarlyStopping, beams.Stop = 4, .8, true, []string{"\n\n"}
	for name, c := range map[string]struct {
		body string
		want inference.GenerateRequest
	}{
		"a prompt":                   {`"prompt":"Hello"`, inference.GenerateRequest{Prompt: "Hello", Parameters: standard}},
		"an empty prompt":            {`"prompt":""`, inference.GenerateRequest{Parameters: standard}},
		"what is null as not given":  {`"prompt":"a","messages":null,"instruction":null,"input":null,"template":null,"parameters":{"top_k":null,"stop":null,"seed":null},"stream":null,"truncate":null`, inference.GenerateRequest{Prompt: "a", Parameters: standard}},
		"an instruction":             {`"instruction":"Sing."`, inference.GenerateRequest{Ask: &prompt.Ask{Instruction: "Sing."}, Parameters: standard}},
		"an instruction on an input": {`"instruction":"Translate.","input":"Hello","template":"alpaca"`, inference.GenerateRequest{Ask: &prompt.Ask{Instruction: "Translate.", Input: "Hello"}, Template: "alpaca", Parameters: standard}},
		"messages": {`"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}],"template":"chat"`,
			inference.GenerateRequest{Ask: &prompt.Ask{Messages: []prompt.Message{{Role: "system", Content: "Be brief."}, {Role: "user", Content: "Hi"}}}, Template: "chat", Parameters: standard}},
		"parameters of a draw": {`"prompt":"a","truncate":true,"parameters":{"max_new_tokens":9,"min_new_tokens":2,"do_sample":true,"temperature":0.5,"top_k":40,"top_p":0.9,"repetition_penalty":1.2,"no_repeat_ngram_size":3,"stop":["a","b"],"seed":7}`,
			inference.GenerateRequest{Prompt: "a", Truncate: true, Parameters: drawn}},
		"parameters of beams": {`"prompt":"a","parameters":{"num_beams":4,"length_penalty":0.8,"early_stopping":true,"stop":"\n\n"}`,
			inference.GenerateRequest{Prompt: "a", Parameters: beams}},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.on(t)
			s.engine.wrote = nil
			s.want(200, "POST", "/generate", `{"model":"bert",`+c.body+`}`)
			c.want.Model = "bert"
			if got := s.engine.wrote[0]; !reflect.DeepEqual(got, c.want) {
				t.Errorf("asked for %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestGenerateAnswers(t *testing.T) {
	s := newService(t, nil)
	v := s.register("poet")
	s.register("poet")
	t.Run("with a text", func(t *testing.T) {
		s := s.on(t)
		a := s.want(200, "POST", "/generate", `{"prompt":"a <b> & \u00e9"}`)
		want := `{"model":"bert","adapter":null,"text":"a <b> & é","finish_reason":"stop","usage":{"input_tokens":5,"output_tokens":3},` +
			`"timings":{"queue_ms":1,"first_token_ms":3,"inference_ms":6,"tokens_per_second":500}}`
		if got := strings.TrimSpace(string(a.body)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
	t.Run("with the adapter of the body, or else the header, and null is the base", func(t *testing.T) {
		s := s.on(t)
		for body, version := range map[string]int{`"adapter":"poet",`: 2, `"adapter":"poet@1",`: 1, "": 1, `"adapter":null,`: 0} {
			var g generation
			s.want(200, "POST", "/generate", `{`+body+`"prompt":"a"}`, "X-Adapter", "poet@1").into(&g)
			if (g.Adapter == nil) != (version == 0) || version > 0 && g.Adapter.Version != version || version == 1 && g.Adapter.Digest != v.Digest {
				t.Errorf("%s answered by %+v", body, g.Adapter)
			}
		}
	})
	t.Run("with tokens when they are asked for", func(t *testing.T) {
		s := s.on(t)
		var g generation
		s.want(200, "POST", "/generate", `{"prompt":"a","return_tokens":true}`).into(&g)
		if g.Tokens == nil || !slices.Equal(*g.Tokens, []int32{7, 8}) {
			t.Errorf("tokens %v", g.Tokens)
		}
	})
	t.Run("with the seed of what was drawn", func(t *testing.T) {
		s := s.on(t)
		var g generation
		s.want(200, "POST", "/generate", `{"prompt":"a","parameters":{"do_sample":true}}`).into(&g)
		if asked := s.engine.wrote[len(s.engine.wrote)-1]; g.Seed == nil || asked.Seed == nil || *g.Seed != *asked.Seed || *g.Seed >= 1<<53 {
			t.Errorf("seed %v", g.Seed)
		}
		var same generation
		s.want(200, "POST", "/generate", `{"prompt":"a","parameters":{"seed":7}}`).into(&same)
		if same.Seed != nil {
			t.Errorf("seed %d of what was not drawn", *same.Seed)
		}
	})
	t.Run("with a warning for what does nothing", func(t *testing.T) {
		s := s.on(t)
		for parameters, want := range map[string][]string{
			`{"temperature":0.7,"top_p":0.5,"top_k":5}`:  {"parameters.temperature does nothing without do_sample", "parameters.top_p does nothing without do_sample", "parameters.top_k does nothing without do_sample"},
			`{"length_penalty":2,"early_stopping":true}`: {"parameters.length_penalty does nothing without num_beams above 1", "parameters.early_stopping does nothing without num_beams above 1"},
			`{"temperature":0}`:                          nil, `{"temperature":1,"top_p":1,"top_k":0,"seed":1}`: nil, `{"do_sample":true,"temperature":2}`: nil, `{"num_beams":2,"length_penalty":2}`: nil,
		} {
			var g generation
			s.want(200, "POST", "/generate", `{"prompt":"a","parameters":`+parameters+`}`).into(&g)
			if !slices.Equal(g.Warnings, want) {
				t.Errorf("%s: warnings %q", parameters, g.Warnings)
			}
		}
	})
}

func TestGenerateRefuses(t *testing.T) {
	s := newService(t, nil)
	s.register("poet")
	stops := `["` + strings.Repeat(`a","`, 16) + `b"]`
	for name, c := range map[string]struct {
		status int
		code   string
		fields []string
		body   string
	}{
		"nothing":                         {400, "malformed_json", []string{""}, ``},
		"nothing to write about":          {422, "invalid", []string{"prompt"}, `{}`},
		"an unknown field":                {400, "unknown_field", []string{"parameters.max_tokens"}, `{"prompt":"a","parameters":{"max_tokens":5}}`},
		"an unknown field of a message":   {400, "unknown_field", []string{"messages[0].name"}, `{"messages":[{"role":"user","content":"a","name":"b"}]}`},
		"wrong types, all at once":        {422, "invalid", []string{"prompt", "messages[0].content", "parameters.num_beams", "parameters.seed", "parameters.stop", "stream"}, `{"prompt":1,"messages":[{"role":"user","content":[]}],"parameters":{"num_beams":"4","seed":1.5,"stop":1},"stream":"yes"}`},
		"two ways at once":                {422, "invalid", []string{"messages"}, `{"prompt":"a","messages":[{"role":"user","content":"b"}]}`},
		"a prompt with an instruction":    {422, "invalid", []string{"instruction"}, `{"prompt":"a","instruction":"b","input":"c"}`},
		"an input by itself":              {422, "invalid", []string{"input"}, `{"input":"a"}`},
		"an input with a prompt":          {422, "invalid", []string{"input"}, `{"prompt":"a","input":"b"}`},
		"an empty instruction":            {422, "invalid", []string{"instruction"}, `{"instruction":" ","input":"b"}`},
		"no messages":                     {422, "invalid", []string{"messages"}, `{"messages":[]}`},
		"a role that is none":             {422, "invalid", []string{"messages[0].role", "messages[1].content"}, `{"messages":[{"role":"robot","content":"a"},{"role":"user","content":""}]}`},
		"a conversation already answered": {422, "invalid", []string{"messages[1].role"}, `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`},
		"a template that is none":         {422, "invalid", []string{"template"}, `{"instruction":"a","template":"vicuna"}`},
		"a template for a prompt":         {422, "invalid", []string{"template"}, `{"prompt":"a","template":"plain"}`},
		"half a surrogate pair":           {422, "invalid", []string{"prompt"}, `{"prompt":"\ud83d"}`},
		"half of one in a message":        {422, "invalid", []string{"messages[0].content"}, `{"messages":[{"role":"user","content":"\udc00 a"}]}`},
		"half of one in a stop string":    {422, "invalid", []string{"parameters.stop[1]"}, `{"prompt":"a","parameters":{"stop":["a","\ud800"]}}`},
		"everything wrong at once": {422, "invalid", []string{"adapter", "model", "prompt", "parameters.max_new_tokens", "parameters.num_beams", "parameters.no_repeat_ngram_size",
			"parameters.temperature", "parameters.repetition_penalty", "parameters.top_p", "parameters.top_k", "parameters.seed", "parameters.do_sample"},
			`{"model":"Bert","adapter":"poet@0","parameters":{"max_new_tokens":5000,"num_beams":17,"no_repeat_ngram_size":-1,"temperature":101,"repetition_penalty":0,"top_p":0,"top_k":-1,"seed":-1,"do_sample":true}}`},
		"more least than most tokens":   {422, "invalid", []string{"parameters.min_new_tokens"}, `{"prompt":"a","parameters":{"min_new_tokens":65}}`},
		"a draw of beams":               {422, "invalid", []string{"parameters.do_sample"}, `{"prompt":"a","parameters":{"do_sample":true,"num_beams":2}}`},
		"a draw at no temperature":      {422, "invalid", []string{"parameters.temperature"}, `{"prompt":"a","parameters":{"do_sample":true,"temperature":0}}`},
		"too many stop strings":         {422, "invalid", []string{"parameters.stop"}, `{"prompt":"a","parameters":{"stop":` + stops + `}}`},
		"stop strings that are none":    {422, "invalid", []string{"parameters.stop[1]", "parameters.stop[2]", "parameters.stop[3]"}, `{"prompt":"a","parameters":{"stop":["a","",null,1]}}`},
		"an empty stop string":          {422, "invalid", []string{"parameters.stop"}, `{"prompt":"a","parameters":{"stop":""}}`},
		"a stop string that is a novel": {422, "invalid", []string{"parameters.stop"}, `{"prompt":"a","parameters":{"stop":"` + strings.Repeat("é", 129) + `"}}`},
		"an ill-formed adapter":         {422, "invalid", []string{"adapter"}, `{"prompt":"a","adapter":""}`},
		"an unknown adapter":            {404, "adapter_not_found", []string{"adapter"}, `{"prompt":"a","adapter":"poem"}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.on(t)
			p := s.want(c.status, "POST", "/generate", c.body).problem()
			if p.Code != c.code || !slices.Equal(p.fields(), c.fields) {
				t.Errorf("code %s, fields %q; want %s, %q: %s", p.Code, p.fields(), c.code, c.fields, p.Detail)
			}
		})
	}
	t.Run("an adapter in the header", func(t *testing.T) {
		s := s.on(t)
		if p := s.want(422, "POST", "/generate", `{"prompt":"a"}`, "X-Adapter", "../x").problem(); !slices.Equal(p.fields(), []string{"X-Adapter"}) {
			t.Errorf("%+v", p)
		}
	})
	t.Run("no model where there are several", func(t *testing.T) {
		s := s.on(t)
		s.engine.models = append(s.engine.models, inference.Model{Name: "t5", Kind: "base", Task: inference.TaskTextToText})
		p := s.want(422, "POST", "/generate", `{"prompt":"a"}`).problem()
		if !slices.Equal(p.fields(), []string{"model"}) || !strings.Contains(p.Detail, "bert, t5") {
			t.Errorf("%+v", p)
		}
	})
}

// An error of the engine is the same answer whether or not a stream was asked for, as
// long as nothing of the text is out.
func TestGenerateFails(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status int
		code   string
	}{
		"when too many wait":         {inference.ErrBusy, 503, "busy"},
		"while loading":              {fmt.Errorf("%w: compiling", inference.ErrLoading), 503, "loading"},
		"when every slot is pinned":  {inference.ErrFull, 503, "slots_full"},
		"for an unknown model":       {inference.ErrUnknownModel, 404, "model_not_found"},
		"for an adapter of another":  {inference.ErrWrongBase, 422, "wrong_base"},
		"on what nobody thought of":  {errors.New("dial tcp 10.0.0.7:6379: refused"), 500, "internal"},
		"for a base that only reads": {writesNone, 422, "invalid"},
	} {
		for _, stream := range []string{"false", "true"} {
			t.Run(name+", stream "+stream, func(t *testing.T) {
				s := newService(t, nil)
				s.engine.fail = c.err
				a := s.want(c.status, "POST", "/generate", `{"prompt":"a","stream":`+stream+`}`)
				if p := a.problem(); p.Code != c.code || strings.Contains(string(a.body), "10.0.0.7") {
					t.Errorf("%s", a.body)
				}
				if line := `lorikeet_generated_texts_total{outcome="` + c.code + `"} 1`; !bytes.Contains(s.want(200, "GET", "/metrics", nil).body, []byte(line)) {
					t.Errorf("no %s", line)
				}
			})
		}
	}
}

func TestGenerationIsCounted(t *testing.T) {
	s := newService(t, nil)
	s.register("poet")
	s.want(200, "POST", "/generate", `{"adapter":"poet","prompt":"a b"}`, "X-Request-Id", "mine")
	s.want(200, "POST", "/generate", `{"prompt":"a b","stream":true}`)
	s.want(422, "POST", "/generate", `{"prompt":1}`)
	a := s.want(200, "GET", "/metrics", nil)
	for _, line := range []string{
		`lorikeet_request_duration_seconds_count{adapter="poet",task="generate"} 1`,
		`lorikeet_request_duration_seconds_count{adapter="none",task="generate"} 1`,
		`lorikeet_time_to_first_token_seconds_sum 0.006`, `lorikeet_time_to_first_token_seconds_count 2`,
		`lorikeet_time_per_output_token_seconds_sum 0.004`, `lorikeet_time_per_output_token_seconds_count 2`,
		`lorikeet_prompt_tokens_total 10`, `lorikeet_generated_texts_total{outcome="stop"} 2`,
		`lorikeet_queue_wait_seconds_count 2`, `lorikeet_inference_duration_seconds_count 2`,
		`lorikeet_generation_tokens_total 21`, `lorikeet_generation_steps_total 9`,
		`lorikeet_generation_step_rows_total{kind="text"} 20`, `lorikeet_generation_step_rows_total{kind="padding"} 16`,
	} {
		if !bytes.Contains(a.body, []byte(line)) {
			t.Errorf("no %q in the metrics", line)
		}
	}
	for _, part := range []string{`"request_id":"mine"`, `"model":"bert"`, `"tokens":5`, `"output_tokens":3`, `"finish":"stop"`, `"first_token_ms":3`, `"adapter":"poet@1"`} {
		if line, _, _ := strings.Cut(s.log.String(), "\n"); !strings.Contains(line, part) {
			t.Errorf("no %s in the log: %s", part, line)
		}
	}
}

func FuzzGenerate(f *testing.F) {
	for _, seed := range []string{
		`{"model":"bert","adapter":"poet@3","instruction":"a","input":"b","template":"t5","parameters":{"max_new_tokens":1,"stop":["a"],"seed":7},"stream":true,"return_tokens":true,"truncate":false}`,
		`{"messages":[{"role":"system","content":"a"},{"role":"user","content":"b"}]}`, `{"prompt":"\ud83d\ude00","parameters":{"stop":"\\ud83d"}}`,
		`{"prompt":"a","parameters":{"do_sample":true,"temperature":1e-300,"top_p":1e-9,"top_k":2147483648}}`, `{"prompt":null}`, `{"parameters":{"stop":[[]]}}`,
		`{"prompt":"a","parameters":{"seed":9223372036854775807,"num_beams":16,"length_penalty":-1e9}}`, `{"parameters":[]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var in generateRequest
		err := decodeJSON(data, &in)
		var o textOrder
		if err == nil {
			o, err = generate{engine: &fakeEngine{models: []inference.Model{bert}}}.order(t.Context(), in)
		}
		if err != nil {
			if s := classify(err).status; s != http.StatusBadRequest && s != http.StatusUnprocessableEntity {
				t.Fatalf("%q is status %d: %v", data, s, err)
			}
			return
		}
		r := o.request
		if r.Model == "" || (r.Ask != nil) && r.Prompt != "" || r.MaxNewTokens < 1 || r.MaxNewTokens > mostNewTokens || r.MinNewTokens > r.MaxNewTokens ||
			r.NumBeams < 1 || r.Sample && (r.NumBeams > 1 || r.Temperature <= 0 || r.Seed == nil) || !(r.TopP > 0 && r.TopP <= 1) || r.TopK < 0 ||
			r.RepetitionPenalty <= 0 || len(r.Stop) > mostStops || slices.Contains(r.Stop, "") {
			t.Fatalf("%q was taken as %+v", data, r)
		}
	})
}
