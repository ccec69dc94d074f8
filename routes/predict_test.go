package routes

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"lorikeet/adapters/invalid"
	"lorikeet/inference"
	"lorikeet/inference/arch"
)

func TestPredictTakesEveryFormOfInputs(t *testing.T) {
	s := newService(t, nil)
	for name, c := range map[string]struct {
		inputs string
		want   []inference.Input
	}{
		"one text":               {`"abc"`, []inference.Input{{Text: "abc"}}},
		"two texts, not a pair":  {`["a","b"]`, []inference.Input{{Text: "a"}, {Text: "b"}}},
		"a pair":                 {`[{"text":"a","text_pair":"b"}]`, []inference.Input{{Text: "a", Pair: new("b")}}},
		"a pair with null":       {`[{"text":"a","text_pair":null}]`, []inference.Input{{Text: "a"}}},
		"both forms in one list": {`["a",{"text":"b"}]`, []inference.Input{{Text: "a"}, {Text: "b"}}},
		"an empty text":          {`[""]`, []inference.Input{{Text: ""}}},
		"a surrogate pair":       {`["\ud83d\ude00 \\ud800"]`, []inference.Input{{Text: `😀 \ud800`}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.on(t)
			s.engine.asked = nil
			a := s.want(200, "POST", "/predict", `{"model":"bert","inputs":`+c.inputs+`}`)
			var p prediction
			a.into(&p)
			if len(p.Results) != len(c.want) || p.Adapter != nil || p.Usage.InputTokens != 2*len(c.want) || p.Timings.QueueMS != 1 {
				t.Errorf("%s", a.body)
			}
			asked := s.engine.asked[0]
			if !asked.Truncate || asked.Adapters != nil {
				t.Errorf("asked for %+v", asked)
			}
			for i, in := range asked.Inputs {
				w := c.want[i]
				if in.Text != w.Text || (in.Pair == nil) != (w.Pair == nil) || in.Pair != nil && *in.Pair != *w.Pair {
					t.Errorf("input %d is %+v, want %+v", i, in, w)
				}
			}
		})
	}
}

func TestPredictAnswers(t *testing.T) {
	s := newService(t, nil)
	v := s.register("imdb")
	s.register("imdb")
	t.Run("with one adapter for all", func(t *testing.T) {
		s := s.on(t)
		var p prediction
		s.want(200, "POST", "/predict", `{"model":"bert","adapter":"imdb@1","inputs":["aaa"],"top_k":1,"logits":true,"truncate":false}`).into(&p)
		if p.Adapter == nil || *p.Adapter != (adapterRef{"imdb", 1, v.Digest}) {
			t.Errorf("adapter %+v", p.Adapter)
		}
		r := p.Results[0]
		want := 1 / (1 + math.Exp(-3))
		if r.Label != "positive" || r.Index != 1 || len(r.Scores) != 1 || math.Abs(float64(r.Score)-want) > 1e-6 || !slices.Equal(r.Logits, []float32{0, 3}) || r.Adapter != nil {
			t.Errorf("result %+v, want a score of %v", r, want)
		}
		if s.engine.asked[len(s.engine.asked)-1].Truncate {
			t.Error("truncate was lost")
		}
	})
	t.Run("with one adapter for each", func(t *testing.T) {
		s := s.on(t)
		a := s.want(200, "POST", "/predict", `{"model":"bert","adapters":["imdb",null,"imdb@1"],"inputs":["a","b","c"]}`)
		var p prediction
		a.into(&p)
		if p.Adapter != nil || *p.Results[0].Adapter != "imdb@2" || p.Results[1].Adapter != nil || *p.Results[2].Adapter != "imdb@1" {
			t.Errorf("%s", a.body)
		}
		for i, ref := range []string{"imdb@2", "", "imdb@1"} {
			v, _ := s.registry.Resolve(t.Context(), ref)
			if p.Results[i].Digest != v.Digest {
				t.Errorf("row %d has the digest %q, %s has %q", i, p.Results[i].Digest, ref, v.Digest)
			}
		}
	})
	t.Run("with the adapter of the header, which the body overrides", func(t *testing.T) {
		s := s.on(t)
		var p prediction
		s.want(200, "POST", "/predict", `{"model":"bert","inputs":"a"}`, "X-Adapter", "imdb@1").into(&p)
		if p.Adapter == nil || p.Adapter.Version != 1 {
			t.Errorf("adapter %+v", p.Adapter)
		}
		s.want(200, "POST", "/predict", `{"model":"bert","adapter":"imdb","inputs":"a"}`, "X-Adapter", "imdb@1").into(&p)
		if p.Adapter == nil || p.Adapter.Version != 2 {
			t.Errorf("adapter %+v", p.Adapter)
		}
	})
	t.Run("with the bare base when the body says null, whatever the header says", func(t *testing.T) {
		s := s.on(t)
		var p prediction
		s.want(200, "POST", "/predict", `{"model":"bert","adapter":null,"inputs":"a"}`, "X-Adapter", "imdb@1").into(&p)
		if p.Adapter != nil {
			t.Errorf("adapter %+v", p.Adapter)
		}
	})
	t.Run("for the only base when none is named", func(t *testing.T) {
		s := s.on(t)
		var p prediction
		s.want(200, "POST", "/predict", `{"inputs":"a"}`).into(&p)
		if p.Model != "bert" {
			t.Errorf("model %q", p.Model)
		}
	})
}

func TestPredictRefuses(t *testing.T) {
	s := newService(t, nil)
	s.register("imdb")
	for name, c := range map[string]struct {
		status int
		code   string
		fields []string
		body   string
	}{
		"nothing":                    {400, "malformed_json", []string{""}, ``},
		"half an object":             {400, "malformed_json", []string{""}, `{"model":"bert",`},
		"two objects":                {400, "malformed_json", []string{""}, `{"inputs":"a"}{}`},
		"a byte that is no UTF-8":    {400, "malformed_json", []string{""}, "{\"inputs\":\"\xff\"}"},
		"a list":                     {422, "invalid", []string{""}, `["a"]`},
		"null":                       {422, "invalid", []string{""}, `null`},
		"unknown fields":             {400, "unknown_field", []string{"mdoel", "x"}, `{"mdoel":"bert","inputs":"a","x":{"y":[1]}}`},
		"a field in capitals":        {400, "unknown_field", []string{"Inputs"}, `{"Inputs":"a"}`},
		"a field given twice":        {400, "unknown_field", []string{"model"}, `{"model":"bert","model":"bert","inputs":"a"}`},
		"an unknown field inside":    {400, "unknown_field", []string{"inputs[1].pair"}, `{"inputs":["a",{"text":"b","pair":"c"}]}`},
		"wrong types, all at once":   {422, "invalid", []string{"model", "inputs[0]", "inputs[1].text", "top_k", "logits"}, `{"model":1,"inputs":[2,{"text":3}],"top_k":1.5,"logits":"yes"}`},
		"inputs of a wrong type":     {422, "invalid", []string{"inputs"}, `{"inputs":{"text":"a"}}`},
		"an input without a text":    {422, "invalid", []string{"inputs[0].text"}, `{"inputs":[{"text_pair":"a"}]}`},
		"half a surrogate pair":      {422, "invalid", []string{"inputs[0]"}, `{"inputs":["\ud83d"]}`},
		"no inputs":                  {422, "invalid", []string{"inputs"}, `{"model":"bert"}`},
		"inputs of null":             {422, "invalid", []string{"inputs"}, `{"model":"bert","inputs":null}`},
		"an empty list":              {422, "invalid", []string{"inputs"}, `{"model":"bert","inputs":[]}`},
		"too many inputs":            {422, "invalid", []string{"inputs"}, `{"model":"bert","inputs":["1","2","3","4","5","6","7","8","9"]}`},
		"top_k of zero":              {422, "invalid", []string{"top_k"}, `{"model":"bert","inputs":"a","top_k":0}`},
		"adapter with adapters":      {422, "invalid", []string{"adapters"}, `{"model":"bert","inputs":"a","adapter":"imdb","adapters":[null]}`},
		"too few adapters":           {422, "invalid", []string{"adapters"}, `{"model":"bert","inputs":["a","b"],"adapters":[null]}`},
		"an ill-formed adapter":      {422, "invalid", []string{"adapter"}, `{"model":"bert","inputs":"a","adapter":"imdb@zero"}`},
		"an adapter in the header":   {422, "invalid", []string{"X-Adapter"}, `{"inputs":"a"}`},
		"an adapter that is no name": {422, "invalid", []string{"adapter"}, `{"model":"bert","inputs":"a","adapter":1}`},
		"an adapter that is empty":   {422, "invalid", []string{"adapter"}, `{"model":"bert","inputs":"a","adapter":""}`},
		"an unknown model":           {404, "model_not_found", []string{"model"}, `{"model":"brt","inputs":"a"}`},
		"an unknown adapter":         {404, "adapter_not_found", []string{"adapter"}, `{"model":"bert","inputs":"a","adapter":"imbd"}`},
		"an unknown version":         {404, "adapter_not_found", []string{"adapter"}, `{"model":"bert","inputs":"a","adapter":"imdb@9"}`},
		"a base with no head":        {422, "no_head", []string{"adapter"}, `{"model":"nothead","inputs":"a"}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.on(t)
			header := ""
			if strings.HasSuffix(name, "in the header") {
				header = "../x"
			}
			p := s.want(c.status, "POST", "/predict", c.body, "X-Adapter", header).problem()
			if p.Code != c.code || !slices.Equal(p.fields(), c.fields) {
				t.Errorf("code %s, fields %q; want %s, %q: %s", p.Code, p.fields(), c.code, c.fields, p.Detail)
			}
		})
	}
	t.Run("and says where JSON is malformed", func(t *testing.T) {
		s := s.on(t)
		p := s.want(400, "POST", "/predict", "{\"model\":\"bert\",\n \"inputs\": nope}").problem()
		if !strings.Contains(p.Detail, "offset 29 (line 2, column 13)") {
			t.Error(p.Detail)
		}
	})
	t.Run("and says what was likely meant", func(t *testing.T) {
		s := s.on(t)
		p := s.want(400, "POST", "/predict", `{"topK":1,"inputs":"a"}`).problem()
		if !strings.Contains(p.Detail, `"top_k"`) {
			t.Error(p.Detail)
		}
	})
	t.Run("and says which versions there are", func(t *testing.T) {
		s := s.on(t)
		p := s.want(404, "POST", "/predict", `{"inputs":"a","adapter":"imdb@9"}`).problem()
		if !strings.Contains(p.Detail, "versions: 1") || p.Error.Param != "adapter" || p.Error.Type != "invalid_request_error" {
			t.Errorf("%+v", p)
		}
	})
}

type waitError struct{ error }

func (waitError) RetryAfter() time.Duration { return 1500 * time.Millisecond }
func (e waitError) Unwrap() error           { return e.error }

func TestPredictFails(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status int
		code   string
		retry  string
	}{
		"when the queue is full":    {inference.ErrBusy, 503, "busy", "1"},
		"with the wait it was told": {fmt.Errorf("predict: %w", waitError{inference.ErrBusy}), 503, "busy", "2"},
		"while loading":             {fmt.Errorf("%w: compiling", inference.ErrLoading), 503, "loading", "1"},
		"when every slot is pinned": {inference.ErrFull, 503, "slots_full", "1"},
		"for an adapter of another": {inference.ErrWrongBase, 422, "wrong_base", ""},
		"on what nobody thought of": {errors.New("dial tcp 10.0.0.7:6379: refused"), 500, "internal", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, nil)
			s.engine.fail = c.err
			a := s.want(c.status, "POST", "/predict", `{"inputs":"a"}`)
			p := a.problem()
			if p.Code != c.code || a.header.Get("Retry-After") != c.retry {
				t.Errorf("code %s, Retry-After %q", p.Code, a.header.Get("Retry-After"))
			}
			if c.status == 500 {
				if strings.Contains(string(a.body), "10.0.0.7") {
					t.Errorf("an internal error tells too much: %s", a.body)
				}
				if !strings.Contains(s.log.String(), "10.0.0.7") || !strings.Contains(s.log.String(), p.RequestID) {
					t.Errorf("the log does not tell: %s", s.log)
				}
			}
		})
	}
	t.Run("and survives a panic", func(t *testing.T) {
		s := newService(t, nil)
		s.engine.panics = true
		p := s.want(500, "POST", "/predict", `{"inputs":"a"}`).problem()
		if p.Code != "internal" || !strings.Contains(s.log.String(), "graph has no output") {
			t.Errorf("%+v, log %s", p, s.log)
		}
	})
}

func TestScores(t *testing.T) {
	near := func(a, b float32) bool { return math.Abs(float64(a-b)) < 1e-6 }
	t.Run("of one label in several are a softmax that cannot overflow", func(t *testing.T) {
		r, err := resultOf(inference.Row{Logits: []float32{1000, 1001, 0}, Labels: []string{"a", "b"}, Problem: arch.SingleLabel}, nil, false)
		if err != nil || r.Label != "b" || !near(r.Score, 0.7310586) || len(r.Scores) != 3 || r.Scores[2].Label != "LABEL_2" {
			t.Errorf("%+v, %v", r, err)
		}
	})
	t.Run("of labels that do not exclude each other are sigmoids", func(t *testing.T) {
		r, err := resultOf(inference.Row{Logits: []float32{0, 2}, Labels: []string{"a", "b"}, Problem: arch.MultiLabel}, nil, false)
		if err != nil || r.Label != "b" || !near(r.Score, 0.880797) || !near(r.Scores[1].Score, .5) {
			t.Errorf("%+v, %v", r, err)
		}
	})
	t.Run("of a regression are the values, in their order", func(t *testing.T) {
		r, err := resultOf(inference.Row{Logits: []float32{-1.5, 7}, Labels: []string{"a", "b"}, Problem: arch.Regression}, nil, false)
		if err != nil || r.Index != 0 || r.Score != -1.5 || r.Scores[1].Score != 7 {
			t.Errorf("%+v, %v", r, err)
		}
	})
	t.Run("of NaN are an error", func(t *testing.T) {
		if _, err := resultOf(inference.Row{Logits: []float32{float32(math.NaN())}}, nil, false); err == nil {
			t.Error("no error")
		}
	})
	t.Run("of nothing are an error", func(t *testing.T) {
		if _, err := resultOf(inference.Row{}, nil, false); err == nil {
			t.Error("no error")
		}
	})
}

func FuzzPredict(f *testing.F) {
	for _, seed := range []string{
		`{"model":"bert","adapter":"imdb@3","inputs":["a",{"text":"b","text_pair":null}],"adapters":[null,"x"],"top_k":1,"logits":true,"truncate":false}`,
		`{"inputs":"\ud83d\ude00"}`, `{"inputs":[[["a"]]]}`, `{"model":1e999}`, `[]`, `null`, `{"inputs":{`, "\xff", `{"a":1,"a":2}`,
		`{"top_k":99999999999999999999}`, `{"inputs":["\ud83d"]}`, `{"inputs":"\\ud83d"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var in predictRequest
		err := decodeJSON(data, &in)
		if err != nil {
			if s := classify(err).status; s != http.StatusBadRequest && s != http.StatusUnprocessableEntity {
				t.Fatalf("%q is status %d: %v", data, s, err)
			}
			return
		}
		p := predict{engine: &fakeEngine{models: []inference.Model{bert}}, limits: Limits{Inputs: 4}}
		request, err := p.request(t.Context(), in)
		if err == nil && (len(request.Inputs) == 0 || request.Adapters != nil && len(request.Adapters) != len(request.Inputs)) {
			t.Fatalf("%q was taken as %+v", data, request)
		}
	})
}

func TestFanOut(t *testing.T) {
	s := newService(t, nil)
	s.register("imdb")
	s.register("topic")
	s.register("topic")
	var p prediction
	s.want(200, "POST", "/predict", `{"model":"bert","fan_out":["imdb",null,"topic@1"],"inputs":["a",{"text":"b","text_pair":"c"}]}`, "X-Adapter", "topic").into(&p)
	var got []string
	for _, r := range p.Results {
		name := "base"
		if r.Adapter != nil {
			name = *r.Adapter
		}
		got = append(got, fmt.Sprint(*r.Input, " ", name))
	}
	if want := []string{"0 imdb@1", "0 base", "0 topic@1", "1 imdb@1", "1 base", "1 topic@1"}; !slices.Equal(got, want) || p.Adapter != nil {
		t.Errorf("results %q, want %q", got, want)
	}
	asked := s.engine.asked[0]
	if !slices.Equal(asked.Adapters, []string{"imdb", "", "topic@1", "imdb", "", "topic@1"}) || asked.Inputs[0] != asked.Inputs[2] || asked.Inputs[5].Text != "b" {
		t.Errorf("asked the engine for %+v", asked)
	}
	for name, c := range map[string]struct {
		status int
		fields []string
		body   string
	}{
		"an empty list":           {422, []string{"fan_out"}, `{"inputs":"a","fan_out":[]}`},
		"beside adapter":          {422, []string{"fan_out"}, `{"inputs":"a","fan_out":["imdb"],"adapter":"imdb"}`},
		"beside adapters":         {422, []string{"fan_out"}, `{"inputs":"a","fan_out":["imdb"],"adapters":["imdb"]}`},
		"names that are none":     {422, []string{"fan_out[1]"}, `{"inputs":"a","fan_out":["imdb","Topic"]}`},
		"too many answers":        {422, []string{"fan_out"}, `{"inputs":["a","b","c"],"fan_out":["imdb","topic",null]}`},
		"too many adapters alone": {422, []string{"inputs", "fan_out"}, `{"inputs":[],"fan_out":[null,null,null,null,null,null,null,null,null]}`},
		"an unknown adapter":      {404, []string{"adapter"}, `{"inputs":"a","fan_out":["imdb","nope"]}`},
		"a list with a number":    {422, []string{"fan_out[0]"}, `{"inputs":"a","fan_out":[1]}`},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			s := s.on(t)
			if p := s.want(c.status, "POST", "/predict", c.body).problem(); !slices.Equal(p.fields(), c.fields) {
				t.Errorf("fields %q, want %q: %s", p.fields(), c.fields, p.Detail)
			}
		})
	}
	t.Run("blames what the caller sent", func(t *testing.T) {
		s := s.on(t)
		s.engine.fail = errors.Join(invalid.Field("inputs[2]", "is too long"), invalid.Field("inputs[3]", "is too long"), invalid.Field("adapters[3]", "is no adapter"))
		defer func() { s.engine.fail = nil }()
		p := s.want(422, "POST", "/predict", `{"inputs":["a","b"],"fan_out":["imdb","topic"]}`).problem()
		if want := []string{"inputs[1]", "fan_out[1]"}; !slices.Equal(p.fields(), want) {
			t.Errorf("fields %q, want %q", p.fields(), want)
		}
	})
}
