package routes

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"lorikeet/adapters/invalid"
	"lorikeet/inference"
	"lorikeet/routes/access"
	"lorikeet/tuning"
)

// speaking is a service that has a base that writes, too.
func speaking(t *testing.T, change func(*Options)) *service {
	s := newService(t, change)
	s.engine.models = append(s.engine.models, inference.Model{Name: "t5", Kind: "base", Task: inference.TaskTextToText, Digest: "sha256:0123456789abcdef"})
	return s
}

var tooLong = invalid.Field("prompt", "is longer than the 512 tokens that t5 takes; shorten it or set truncate")

func (s *service) chat(status int, body string, headers ...string) (a answer) {
	s.Helper()
	return s.want(status, "POST", "/v1/chat/completions", body, headers...)
}

func TestChatWithAClassifier(t *testing.T) {
	s := speaking(t, nil)
	v := s.register("imdb")
	for _, model := range []string{"imdb", "imdb@1"} {
		var got chatCompletion
		s.chat(200, `{"model":"`+model+`","messages":[{"role":"system","content":"which?"},{"role":"user","content":"good"}],"logprobs":true,"top_logprobs":1,"n":2}`).into(&got)
		if len(got.Choices) != 2 || got.Model != "imdb@1" || got.Choices[1].Message.Content != "positive" || got.Choices[0].FinishReason != "stop" {
			t.Fatalf("%s answers %+v", model, got)
		}
		token := got.Choices[0].Logprobs.Content[0]
		// The fake's logits are 0 and the number of letters of the last user message.
		if want := -math.Log1p(math.Exp(-4)); token.Token != "positive" || math.Abs(token.Logprob-want) > 1e-6 || len(token.Top) != 1 || string(rune(token.Bytes[0])) != "p" {
			t.Errorf("the label's logprob is %+v, want %v", token, want)
		}
		if got.Usage != (openaiUsage{2, 2, 4}) {
			t.Errorf("usage %+v", got.Usage)
		}
		if !strings.HasPrefix(v.Digest, "sha256:"+strings.TrimPrefix(got.Fingerprint, "fp_")) {
			t.Errorf("fingerprint %s of %s", got.Fingerprint, v.Digest)
		}
	}
	if p := s.chat(404, `{"model":"imdb@9","messages":[{"role":"user","content":"a"}]}`).problem(); p.Code != "model_not_found" {
		t.Errorf("an unknown version: %+v", p)
	}
	for _, model := range []string{"gpt-4o", "meta-llama/Llama-3", "imdb@x", "../imdb"} {
		if p := s.chat(404, `{"model":"`+model+`","messages":[{"role":"user","content":"a"}]}`).problem(); p.Code != "model_not_found" {
			t.Errorf("%s: %+v", model, p)
		}
	}
	if p := s.chat(404, `{"model":"imbd","messages":[{"role":"user","content":"a"}],"stream":true}`).problem(); p.Error.Param != "model" {
		t.Errorf("an unknown model: %+v", p)
	}
}

func TestChatWithAWriter(t *testing.T) {
	s := speaking(t, nil)
	s.chat(200, `{"model":"t5","messages":[{"role":"developer","content":"a"},{"role":"system","content":"b"},{"role":"user","content":[{"type":"text","text":"c"},{"type":"text","text":"d"}]}],
		"n":3,"seed":7,"max_completion_tokens":5,"temperature":0.5,"top_p":0,"presence_penalty":1,"frequency_penalty":-1,"logit_bias":{"5":-100},"stop":"x","top_k":3}`)
	var seeds []uint64
	for _, r := range s.engine.wrote {
		seeds = append(seeds, *r.Seed)
		p := r.Parameters
		if r.Model != "t5" || !p.Sample || p.Temperature != .5 || p.TopP <= 0 || p.TopP > 1e-30 || p.PresencePenalty != 1 || p.FrequencyPenalty != -1 || p.Bias[5] != -100 ||
			p.MaxNewTokens != 5 || !slices.Equal(p.Stop, []string{"x"}) || p.TopK != 3 || p.Logprobs != nil {
			t.Errorf("asked for %+v", r)
		}
		if m := r.Ask.Messages; len(m) != 2 || m[0].Role != "system" || m[0].Content != "a\n\nb" || m[1].Content != "cd" {
			t.Errorf("messages %+v", m)
		}
	}
	if slices.Sort(seeds); !slices.Equal(seeds, []uint64{7, 8, 9}) {
		t.Errorf("seeds %v", seeds)
	}
	s.chat(200, `{"model":"t5","messages":[{"role":"user","content":"c"}],"temperature":0,"logprobs":true,"user":"u","store":false,"tools":[],"tool_choice":"none","service_tier":"auto","metadata":{"a":"b"},"response_format":{"type":"text"}}`)
	if r := s.engine.wrote[3]; r.Sample || r.Logprobs == nil || r.Logprobs.Top != 0 || r.MaxNewTokens != chatTokens {
		t.Errorf("temperature 0 asks for %+v", r.Parameters)
	}
}

func TestCompletions(t *testing.T) {
	s := speaking(t, nil)
	var got completion
	s.want(200, "POST", "/v1/completions", `{"model":"t5","prompt":["one two","three"],"n":2,"temperature":0}`).into(&got)
	var texts []string
	for i, c := range got.Choices {
		texts = append(texts, c.Text)
		if c.Index != i || *c.FinishReason != "stop" {
			t.Errorf("choice %+v", c)
		}
	}
	// The fake writes the prompt, and counts 5 tokens in and 3 out.
	if !slices.Equal(texts, []string{"one two", "one two", "three", "three"}) || got.Usage != (openaiUsage{10, 12, 22}) {
		t.Errorf("texts %q, usage %+v", texts, got.Usage)
	}
	for body, field := range map[string]string{
		`{"model":"t5"}`: "prompt", `{"model":"t5","prompt":[1,2]}`: "prompt[0]", `{"model":"t5","prompt":"a","logprobs":21}`: "logprobs",
		`{"model":"t5","prompt":"a","echo":true}`: "echo", `{"model":"t5","prompt":"a","suffix":"b"}`: "suffix", `{"model":"t5","prompt":"a","best_of":2}`: "best_of",
		`{"model":"t5","prompt":["a","a","a","a","a"],"n":8}`: "n", `{"prompt":"a"}`: "model",
	} {
		if p := s.want(400, "POST", "/v1/completions", body).problem(); p.Error.Param != field {
			t.Errorf("%s blames %q: %s", body, p.Error.Param, p.Detail)
		}
	}
}

func TestChatRefusesByName(t *testing.T) {
	s := speaking(t, nil)
	for more, field := range map[string]string{
		`"n":9`: "n", `"n":0`: "n", `"temperature":3`: "temperature", `"top_p":2`: "top_p", `"presence_penalty":3`: "presence_penalty", `"max_tokens":0`: "max_tokens",
		`"max_completion_tokens":-1`: "max_completion_tokens", `"tools":[{"type":"function"}]`: "tools", `"functions":[{}]`: "functions", `"tool_choice":{"type":"function"}`: "tool_choice",
		`"response_format":{"type":"json_object"}`: "response_format", `"audio":{"voice":"a"}`: "audio", `"modalities":["audio"]`: "modalities", `"store":true`: "store",
		`"web_search_options":{"a":1}`: "web_search_options", `"reasoning_effort":"high"`: "reasoning_effort", `"top_logprobs":2`: "top_logprobs",
		`"logprobs":true,"top_logprobs":21`: "top_logprobs", `"logit_bias":{"x":1}`: "logit_bias", `"logit_bias":{"1":101}`: "logit_bias.1", `"stop":[""]`: "stop[0]",
		`"stream_options":{"include_usage":true}`: "stream_options", `"seeed":1`: "seeed", `"moderation":{"model":"m"}`: "moderation",
	} {
		p := s.chat(400, `{"model":"t5","messages":[{"role":"user","content":"a"}],`+more+`}`).problem()
		if p.Error.Param != field || p.Error.Type != "invalid_request_error" {
			t.Errorf("%s blames %q: %s", more, p.Error.Param, p.Detail)
		}
	}
	for messages, field := range map[string]string{
		`[]`: "messages", `[{"role":"user"}]`: "messages[0].content", `[{"role":"tool","content":"a"}]`: "messages[0].role", `[{"role":"robot","content":"a"}]`: "messages[0].role",
		`[{"role":"assistant","content":"a"}]`: "messages[0].role", `[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]`: "messages[0].content[0].type",
		`[{"role":"user","content":7}]`: "messages[0].content", `[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]`: "messages[1].role",
		`[{"role":"user","content":"a","tool_calls":[{"id":"x"}]}]`: "messages[0].tool_calls", `[{"role":"user","content":"\ud800"}]`: "messages[0].content",
	} {
		if p := s.chat(400, `{"model":"t5","messages":`+messages+`}`).problem(); p.Error.Param != field {
			t.Errorf("%s blames %q: %s", messages, p.Error.Param, p.Detail)
		}
	}
	if p := s.chat(400, `{"messages":[{"role":"user","content":"a"}],"n":9,"temperature":-1}`).problem(); len(p.Errors) < 2 {
		t.Errorf("faults do not come together: %+v", p.Errors)
	}
	s.engine.fail = fmt.Errorf("%w: %w", inference.ErrTooLong, tooLong)
	if p := s.chat(400, `{"model":"t5","messages":[{"role":"user","content":"a"}]}`).problem(); p.Code != "context_length_exceeded" || p.Error.Param != "messages" {
		t.Errorf("a prompt that is too long: %+v", p)
	}
}

// frames reads a stream's data.
func frames(t *testing.T, body []byte) (chunks []chatChunk, last string) {
	t.Helper()
	for frame := range strings.SplitSeq(strings.TrimSuffix(string(body), "\n\n"), "\n\n") {
		text, ok := strings.CutPrefix(frame, "data: ")
		if !ok {
			t.Fatalf("a frame %q", frame)
		}
		if last = text; text == "[DONE]" {
			continue
		}
		var c chatChunk
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			t.Fatal(err)
		}
		chunks = append(chunks, c)
	}
	return chunks, last
}

func TestChatStreams(t *testing.T) {
	s := speaking(t, nil)
	s.register("imdb")
	chunks, last := frames(t, s.chat(200, `{"model":"imdb","messages":[{"role":"user","content":"good"}],"stream":true,"stream_options":{"include_usage":true},"logprobs":true}`).body)
	if len(chunks) != 3 || last != "[DONE]" {
		t.Fatalf("%d chunks, last %q", len(chunks), last)
	}
	first, end, usage := chunks[0].Choices[0], chunks[1].Choices[0], chunks[2]
	if first.Delta.Role != "assistant" || *first.Delta.Content != "positive" || first.FinishReason != nil || first.Logprobs == nil || string(chunks[0].Usage) != "null" {
		t.Errorf("the first chunk is %+v", first)
	}
	if end.Delta.Role != "" || end.Delta.Content != nil || *end.FinishReason != "stop" {
		t.Errorf("the last of the choice is %+v", end)
	}
	if len(usage.Choices) != 0 || !strings.Contains(string(usage.Usage), `"total_tokens":3`) {
		t.Errorf("the usage comes as %+v", usage)
	}
	chunks, _ = frames(t, s.chat(200, `{"model":"imdb","messages":[{"role":"user","content":"good"}],"stream":true}`).body)
	if len(chunks) != 2 || chunks[0].Usage != nil || chunks[0].ID != chunks[1].ID {
		t.Errorf("without usage: %+v", chunks)
	}
	s.engine.fail = inference.ErrBusy
	s.chat(503, `{"model":"imdb","messages":[{"role":"user","content":"good"}],"stream":true}`)
}

func TestOpenAIModels(t *testing.T) {
	s := speaking(t, nil)
	s.register("imdb")
	s.register("imdb")
	var all listing[openaiModel]
	s.want(200, "GET", "/v1/models", nil).into(&all)
	var ids []string
	for _, m := range all.Data {
		ids = append(ids, m.ID+"="+m.Root)
	}
	if want := []string{"bert=bert", "t5=t5", "imdb=imdb@2", "imdb@2=imdb@2", "imdb@1=imdb@1"}; !slices.Equal(ids, want) {
		t.Errorf("models %q, want %q", ids, want)
	}
	var one openaiModel
	s.want(200, "GET", "/v1/models/imdb@1", nil).into(&one)
	if one.Parent == nil || *one.Parent != "bert" || one.Kind != "adapter" || one.OwnedBy != "default" {
		t.Errorf("an adapter is %+v", one)
	}
	s.want(400, "DELETE", "/v1/models/bert", nil)
	s.want(200, "DELETE", "/v1/models/imdb@1", nil)
	s.want(404, "GET", "/v1/models/imdb@1", nil)
	s.want(200, "DELETE", "/v1/models/imdb", nil)
	s.want(404, "GET", "/v1/models/imdb", nil)
}

const lines = `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"x"}]}
{"messages":[{"role":"user","content":"b"},{"role":"assistant","content":" y "}]}
`

// file uploads, with the purpose after the file, as Node's client sends it.
func (s *service) file(text string, headers ...string) (f openaiFile) {
	s.Helper()
	body, kind := form(s.T, "file:rows.jsonl", text, "purpose", "fine-tune")
	s.want(200, "POST", "/v1/files", body, append([]string{"Content-Type", kind}, headers...)...).into(&f)
	return f
}

func TestOpenAIFiles(t *testing.T) {
	s := speaking(t, nil)
	f := s.file(lines)
	if f.Bytes != int64(len(lines)) || f.Filename != "rows.jsonl" || f.Dataset != "ds_"+strings.TrimPrefix(f.ID, "file-") {
		t.Errorf("the file is %+v", f)
	}
	if again := s.file(lines); again != f {
		t.Errorf("sent again it is %+v", again)
	}
	if a := s.want(200, "GET", "/v1/files/"+f.ID+"/content", nil); string(a.body) != lines {
		t.Errorf("it comes back as %q", a.body)
	}
	set := s.upload("text,label\na,x\nb,y\n") // by the other route its bytes are not kept
	if a := s.want(200, "GET", "/v1/files/"+fileID(set.ID)+"/content", nil); string(a.body) != "{\"text\":\"a\",\"label\":\"x\"}\n{\"text\":\"b\",\"label\":\"y\"}\n" {
		t.Errorf("a data set comes as %q", a.body)
	}
	var page listing[openaiFile]
	s.want(200, "GET", "/v1/files?limit=1&order=asc", nil).into(&page)
	if len(page.Data) != 1 || !page.HasMore || page.Data[0].ID != f.ID {
		t.Errorf("a page is %+v", page)
	}
	s.want(200, "GET", "/v1/files?limit=1&order=asc&after="+f.ID, nil).into(&page)
	if len(page.Data) != 1 || page.HasMore || page.Data[0].ID != fileID(set.ID) {
		t.Errorf("the next is %+v", page)
	}
	for name, c := range map[string]struct {
		param string
		parts []string
	}{
		"a bad row":               {"messages", []string{"file:rows.jsonl", lines + `{"messages":[]}`, "purpose", "fine-tune"}},
		"another purpose":         {"purpose", []string{"file:rows.jsonl", lines, "purpose", "assistants"}},
		"no purpose":              {"purpose", []string{"file:rows.jsonl", lines}},
		"no file":                 {"file", []string{"purpose", "fine-tune"}},
		"an unknown field":        {"expires_after[seconds]", []string{"file:rows.jsonl", lines, "purpose", "fine-tune", "expires_after[seconds]", "3600"}},
		"a file that comes twice": {"file", []string{"file:rows.jsonl", lines, "file:rows.jsonl", lines, "purpose", "fine-tune"}},
	} {
		body, kind := form(t, c.parts...)
		if p := s.want(400, "POST", "/v1/files", body, "Content-Type", kind).problem(); p.Error.Param != c.param {
			t.Errorf("%s blames %q: %s", name, p.Error.Param, p.Detail)
		}
	}
	s.want(415, "POST", "/v1/files", lines)
	s.want(200, "DELETE", "/v1/files/"+f.ID, nil)
	for _, path := range []string{"", "/content"} {
		s.want(404, "GET", "/v1/files/"+f.ID+path, nil)
	}
	s.want(404, "GET", "/v1/files/file-results-"+strings.Repeat("a", 20), nil)
}

func TestOpenAIJobs(t *testing.T) {
	s := speaking(t, nil)
	f, held := s.file(lines), s.file(lines+lines)
	var made tuningJob
	s.want(200, "POST", "/v1/fine_tuning/jobs", fmt.Sprintf(`{"model":"bert","training_file":%q,"validation_file":%q,"suffix":" My Model! ","seed":9,"metadata":{"a":"b"},
		"method":{"type":"supervised","supervised":{"hyperparameters":{"n_epochs":2,"batch_size":"auto","learning_rate_multiplier":0.5}}},"lorikeet":{"lora":{"r":4}}}`, f.ID, held.ID)).into(&made)
	j, err := s.queue.Get(t.Context(), made.ID)
	if err != nil {
		t.Fatal(err)
	}
	h := j.Spec.Hyperparameters
	if j.Kind != tuning.LoRA || j.Name != "my-model" || *h.Epochs != 2 || *h.BatchSize != 16 || *h.LearningRate != 5e-4 || *h.Seed != 9 || *j.Spec.LoRA.R != 4 {
		t.Errorf("the job is %+v with %+v", j.Spec, h)
	}
	if made.TrainingFile != f.ID || *made.ValidationFile != held.ID || made.Metadata["a"] != "b" || made.Status != "queued" || made.Hyperparameters != (usedHyperparameters{2, 16, .5}) {
		t.Errorf("it is shown as %+v", made)
	}
	var events listing[tuningEvent]
	s.want(200, "GET", "/v1/fine_tuning/jobs/"+made.ID+"/events", nil).into(&events)
	if len(events.Data) != 1 || events.Data[0].Type != "message" {
		t.Errorf("events %+v", events)
	}
	s.want(200, "GET", "/v1/fine_tuning/jobs/"+made.ID+"/checkpoints", nil)
	s.want(200, "POST", "/v1/fine_tuning/jobs/"+made.ID+"/pause", nil).into(&made)
	if made.Status != "paused" {
		t.Errorf("paused it is %s", made.Status)
	}
	s.want(200, "POST", "/v1/fine_tuning/jobs/"+made.ID+"/resume", nil)
	s.want(200, "POST", "/v1/fine_tuning/jobs/"+made.ID+"/cancel", nil)
	s.want(409, "POST", "/v1/fine_tuning/jobs/"+made.ID+"/cancel", nil)
	s.want(200, "POST", "/v1/fine_tuning/jobs/"+made.ID+"/cancel", nil, "X-Stainless-Retry-Count", "1")
	var all listing[tuningJob]
	s.want(200, "GET", "/v1/fine_tuning/jobs", nil).into(&all)
	if len(all.Data) != 1 || all.Data[0].Status != "cancelled" || all.Data[0].FinishedAt == nil {
		t.Errorf("jobs %+v", all)
	}
	for more, field := range map[string]string{
		`"training_file":"file-nope"`: "training_file", `"suffix":"!"`: "suffix", `"method":{"type":"dpo"}`: "method.type", `"integrations":[{"type":"wandb"}]`: "integrations",
		`"hyperparameters":{"n_epochs":"many"}`: "hyperparameters.n_epochs", `"hyperparameters":{"n_epochs":-1}`: "hyperparameters.n_epochs", `"hyperparameters":{"batch_size":1.5}`: "hyperparameters.batch_size",
		`"method":{"type":"supervised","supervised":{"hyperparameters":{"batch_size":0}}}`: "method.supervised.hyperparameters.batch_size", `"lorikeet":{"lora":{"r":0}}`: "lorikeet.lora.r",
		`"lorikeet":{"rank":1}`: "lorikeet.rank", `"lorikeet":{"lora":{"target_modules":"nowhere"}}`: "lorikeet.lora.target_modules", `"metadata":{"` + strings.Repeat("a", 65) + `":"b"}`: "metadata",
		`"hyperparameters":{"learning_rate_multiplier":0}`: "hyperparameters.learning_rate_multiplier",
	} {
		file := fmt.Sprintf(`"training_file":%q,`, f.ID)
		status := 400
		if field == "training_file" {
			file, status = "", 404
		}
		if p := s.want(status, "POST", "/v1/fine_tuning/jobs", `{"model":"bert",`+file+more+`}`).problem(); p.Error.Param != field {
			t.Errorf("%s blames %q: %s", more, p.Error.Param, p.Detail)
		}
	}
	s.want(404, "POST", "/v1/fine_tuning/jobs", fmt.Sprintf(`{"model":"gpt-4o","training_file":%q}`, f.ID))
	s.register("imdb")
	s.want(400, "POST", "/v1/fine_tuning/jobs", fmt.Sprintf(`{"model":"imdb","training_file":%q}`, f.ID))
}

func TestACreateSentAgainMakesOneJob(t *testing.T) {
	s := speaking(t, nil)
	f := s.file(lines)
	body := fmt.Sprintf(`{"model":"bert","training_file":%q}`, f.ID)
	send := func(count string) (j tuningJob, replayed bool) {
		s.Helper()
		a := s.want(200, "POST", "/v1/fine_tuning/jobs", body, "X-Stainless-Retry-Count", count)
		a.into(&j)
		return j, a.header.Get("Idempotency-Replayed") == "true"
	}
	first, _ := send("0")
	again, replayed := send("1")
	if again.ID != first.ID || !replayed {
		t.Errorf("sent again it is %s, first %s", again.ID, first.ID)
	}
	if third, _ := send("2"); third.ID != first.ID {
		t.Errorf("sent a third time it is %s", third.ID)
	}
	other, _ := send("0")
	if other.ID == first.ID || other.Lorikeet.Name == first.Lorikeet.Name {
		t.Error("two deliberate creates make one job")
	}
	if late, _ := send("1"); late.ID != other.ID {
		t.Error("what is sent again is the newest before")
	}
	var one, two tuningJob
	s.want(200, "POST", "/v1/fine_tuning/jobs", body, "Idempotency-Key", "k").into(&one)
	s.want(200, "POST", "/v1/fine_tuning/jobs", body, "Idempotency-Key", "k").into(&two)
	if one.ID != two.ID {
		t.Error("one key makes two jobs")
	}
	body = `{"model":"bert","training_file":"` + f.ID + `","seed":1}`
	if different, _ := send("1"); slices.Contains([]string{first.ID, other.ID, one.ID}, different.ID) {
		t.Error("another request that is sent again is taken for the first")
	}
}

func TestOpenAITenants(t *testing.T) {
	s := guarded(t, nil)
	_, acme := s.key(access.Tune, "acme")
	_, other := s.key(access.Tune, "other")
	_, reader := s.key(access.Predict, "acme")
	f := s.file(lines, acme...)
	var j tuningJob
	s.want(200, "POST", "/v1/fine_tuning/jobs", fmt.Sprintf(`{"model":"bert","training_file":%q}`, f.ID), acme...).into(&j)
	if j.OrganizationID != "acme" {
		t.Errorf("the job is %q's", j.OrganizationID)
	}
	var hook webhookSecret
	s.want(200, "POST", "/v1/webhook_endpoints", `{"name":"a","url":"https://hooks.example/","event_types":["fine_tuning.job.failed"]}`, acme...).into(&hook)
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/v1/files/" + f.ID, ""}, {"GET", "/v1/files/" + f.ID + "/content", ""}, {"DELETE", "/v1/files/" + f.ID, ""},
		{"GET", "/v1/fine_tuning/jobs/" + j.ID, ""}, {"GET", "/v1/fine_tuning/jobs/" + j.ID + "/events", ""}, {"GET", "/v1/fine_tuning/jobs/" + j.ID + "/checkpoints", ""},
		{"POST", "/v1/fine_tuning/jobs/" + j.ID + "/cancel", ""}, {"POST", "/v1/fine_tuning/jobs/" + j.ID + "/pause", ""}, {"POST", "/v1/fine_tuning/jobs/" + j.ID + "/resume", ""},
		{"GET", "/v1/webhook_endpoints/" + hook.ID, ""}, {"DELETE", "/v1/webhook_endpoints/" + hook.ID, ""}, {"POST", "/v1/webhook_endpoints/" + hook.ID, `{"name":"b"}`},
		{"POST", "/v1/webhook_endpoints/" + hook.ID + "/rotate_secret", `{}`}, {"POST", "/v1/webhook_endpoints/" + hook.ID + "/test", `{"event_type":"fine_tuning.job.failed"}`},
		{"POST", "/v1/fine_tuning/jobs", fmt.Sprintf(`{"model":"bert","training_file":%q}`, f.ID)},
	} {
		var body any
		if c.body != "" {
			body = c.body
		}
		s.want(404, c.method, c.path, body, other...)
		if c.method != "GET" || !strings.Contains(c.path, "models") {
			s.want(403, c.method, c.path, body, reader...)
		}
	}
	for _, path := range []string{"/v1/files", "/v1/fine_tuning/jobs", "/v1/webhook_endpoints"} {
		var page listing[map[string]any]
		s.want(200, "GET", path, nil, other...).into(&page)
		if len(page.Data) != 0 {
			t.Errorf("%s shows another's: %v", path, page.Data)
		}
	}
	s.chat(401, `{}`)
	s.want(200, "GET", "/v1/models", nil, reader...)
	// A create that one tenant sent is not another's that was sent again.
	again := append([]string{"X-Stainless-Retry-Count", "1"}, other...)
	g := s.file(lines, other...)
	var mine tuningJob
	s.want(200, "POST", "/v1/fine_tuning/jobs", fmt.Sprintf(`{"model":"bert","training_file":%q}`, g.ID), again...).into(&mine)
	if mine.ID == j.ID {
		t.Error("one tenant gets the other's job")
	}
}

func TestWebhookEndpoints(t *testing.T) {
	s := speaking(t, nil)
	got := make(chan http.Header, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header
		w.WriteHeader(http.StatusTeapot)
	}))
	defer receiver.Close()
	var hook webhookSecret
	s.want(200, "POST", "/v1/webhook_endpoints", fmt.Sprintf(`{"name":"a","url":%q,"event_types":["fine_tuning.job.succeeded"]}`, receiver.URL)).into(&hook)
	if !strings.HasPrefix(hook.Secret, "whsec_") {
		t.Errorf("made %+v", hook)
	}
	if a := s.want(200, "GET", "/v1/webhook_endpoints/"+hook.ID, nil); strings.Contains(string(a.body), hook.Secret) {
		t.Error("the secret is shown again")
	}
	var tested testedWebhook
	s.want(200, "POST", "/v1/webhook_endpoints/"+hook.ID+"/test", `{"event_type":"fine_tuning.job.failed"}`).into(&tested)
	if h := <-got; tested.Status != http.StatusTeapot || h.Get("webhook-signature") == "" {
		t.Errorf("the test is answered with %+v", tested)
	}
	receiver.Close()
	if p := s.want(400, "POST", "/v1/webhook_endpoints/"+hook.ID+"/test", `{"event_type":"fine_tuning.job.failed"}`).problem(); p.Code != "webhook_unreachable" || strings.Contains(p.Detail, "refused") {
		t.Errorf("an endpoint that is gone: %+v", p)
	}
	for body, field := range map[string]string{
		`{"name":"a","url":"http://hooks.example/","event_types":["fine_tuning.job.failed"]}`:          "url",
		`{"name":"a","url":"https://u:p@hooks.example/","event_types":["fine_tuning.job.failed"]}`:     "url",
		`{"name":"","url":"https://hooks.example/","event_types":["fine_tuning.job.failed"]}`:          "name",
		`{"name":"a","url":"https://hooks.example/","event_types":["batch.completed"]}`:                "event_types[0]",
		`{"name":"a","url":"ftp://x","event_types":["fine_tuning.job.failed"]}`:                        "url",
		`{"name":"a","url":"https://hooks.example/","event_types":["fine_tuning.job.failed"],"key":1}`: "key",
	} {
		if p := s.want(400, "POST", "/v1/webhook_endpoints", body).problem(); p.Error.Param != field {
			t.Errorf("%s blames %q: %s", body, p.Error.Param, p.Detail)
		}
	}
	s.want(200, "GET", "/v1/webhook_event_types", nil)
	s.want(200, "DELETE", "/v1/webhook_endpoints/"+hook.ID, nil)
	s.want(404, "DELETE", "/v1/webhook_endpoints/"+hook.ID, nil)
	s.want(404, "GET", "/v1/webhook_endpoints/..%2f..", nil)
	if a := s.want(200, "GET", "/metrics", nil); !strings.Contains(string(a.body), `lorikeet_webhook_deliveries_total{outcome="ok"} 0`) {
		t.Error("no metric of webhooks")
	}
}

func TestResultsTable(t *testing.T) {
	event := func(kind, data string) tuning.Event {
		return tuning.Event{ID: "1-1", Type: kind, Data: json.RawMessage(data)}
	}
	table, err := resultsTable([]tuning.Event{event("status", `{"status":"queued"}`), event("step", `{"step":1,"loss":0.7,"learning_rate":0.001}`),
		event("step", `{"step":2,"loss":0.6,"learning_rate":0.0005}`), event("eval", `{"step":2,"metrics":{"eval_loss":0.5,"eval_token_accuracy":0.9}}`), event("eval", `{"step":3,"metrics":{"eval_loss":0.4}}`)})
	want := "step,train_loss,learning_rate,valid_loss,valid_mean_token_accuracy\n1,0.7,0.001,,\n2,0.6,0.0005,0.5,0.9\n3,,,0.4,\n"
	if err != nil || string(table) != want {
		t.Errorf("the table is %q, %v", table, err)
	}
	if _, err := resultsTable([]tuning.Event{event("step", `[]`)}); err == nil {
		t.Error("a broken event is passed over")
	}
}

// Whatever comes, a body below /v1 is taken or refused with its faults.
func FuzzOpenAI(f *testing.F) {
	for _, seed := range []string{`{"model":"t5","messages":[{"role":"user","content":[{"type":"text","text":"a"}]}],"stop":["a"],"logit_bias":{"1":2}}`,
		`{"model":"t5","prompt":["a"],"logprobs":2,"n":2}`, `{"model":"bert","training_file":"file-1","method":{"type":"supervised","supervised":{"hyperparameters":{"n_epochs":"auto"}}},"lorikeet":{"lora":{"r":1}}}`,
		`{"model":"t5","messages":null,"tools":{"a":[]}}`, `{"messages":[{"role":"user","content":"\ud800"}]}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var chat chatRequest
		if decodeJSON([]byte(text), &chat) == nil {
			if messages, faults := chat.conversation(); len(faults) == 0 && len(messages) == 0 {
				t.Error("a conversation of nothing")
			}
			_, n, err := chat.read("max_tokens", chat.MaxTokens, 16)
			if err == nil && (n < 1 || n > 8) {
				t.Errorf("%d choices", n)
			}
		}
		var c completionRequest
		if decodeJSON([]byte(text), &c) == nil && len(c.Prompt) > mostChoices {
			t.Errorf("%d prompts", len(c.Prompt))
		}
		var j createJobRequest
		if decodeJSON([]byte(text), &j) == nil {
			_ = j.hyperparameters(&tuning.Spec{Kind: tuning.LoRA}, nil)
			if j.Suffix != nil {
				if s := slug(*j.Suffix); s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789._-") != "" {
					t.Errorf("%q makes the name %q", *j.Suffix, s)
				}
			}
		}
	})
}
