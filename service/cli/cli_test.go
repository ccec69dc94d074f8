package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"
)

// fake is a service that answers what a test says, and remembers what it was asked.
type fake struct {
	*testing.T
	url     string
	answers map[string]http.HandlerFunc

	mu    sync.Mutex
	asked []asked
}

type asked struct {
	at, key, body string
	header        http.Header
}

func newFake(t *testing.T, answers map[string]http.HandlerFunc) *fake {
	f := &fake{T: t, answers: answers}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		at := r.Method + " " + r.URL.RequestURI()
		f.mu.Lock()
		f.asked = append(f.asked, asked{at, r.Header.Get("Authorization"), string(body), r.Header})
		f.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		h := f.answers[at]
		if h == nil {
			h = problem(404, `{"title":"Not found","status":404,"detail":"there is nothing at this address: `+r.URL.Path+`","code":"not_found"}`)
		}
		h(w, r)
	}))
	t.Cleanup(s.Close)
	f.url = s.URL
	return f
}

func says(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

func problem(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// run runs a command line; code is the exit status.
func (f *fake) run(stdin string, args ...string) (out, errOut string, code int) {
	f.Helper()
	f.Setenv(envURL, f.url)
	f.Setenv(envKey, "lk_test")
	return command(f.T, stdin, args...)
}

func command(t *testing.T, stdin string, args ...string) (out, errOut string, code int) {
	t.Helper()
	root := &cobra.Command{Use: "service", SilenceErrors: true, SilenceUsage: true}
	root.AddGroup(&cobra.Group{ID: Group})
	root.AddCommand(Commands()...)
	var stdout, stderr bytes.Buffer
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	var c coded
	switch {
	case errors.As(err, &c):
		code = c.ExitCode()
	case err != nil:
		code = failed
	}
	if err != nil {
		stderr.WriteString(err.Error())
	}
	return stdout.String(), stderr.String(), code
}

// body is what was sent, decoded.
func (f *fake) body(i int) (v map[string]any) {
	f.Helper()
	if i >= len(f.asked) {
		f.Fatalf("only %d requests came", len(f.asked))
	}
	if err := json.Unmarshal([]byte(f.asked[i].body), &v); err != nil {
		f.Fatalf("%v in %q", err, f.asked[i].body)
	}
	return v
}

func same(t *testing.T, what string, got any, want string) {
	t.Helper()
	var w any
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(got)
	var g any
	_ = json.Unmarshal(text, &g)
	if !reflect.DeepEqual(g, w) {
		t.Errorf("%s is %s, want %s", what, text, want)
	}
}

const two = `{"results":[{"label":"positive","score":0.98,"scores":[{"label":"positive","score":0.98}]},{"label":"food","score":0.9,"scores":[{"label":"fo\u001b[31mod","score":0.9}]}]}`

func TestPredict(t *testing.T) {
	f := newFake(t, map[string]http.HandlerFunc{"POST /predict": says(two)})
	out, errOut, code := f.run("", "predict", "-m", "bert", "-a", "imdb", "-a", "topic@2", "Lovely soup.")
	if code != 0 || !strings.Contains(out, "IMDB") || !strings.Contains(out, "positive 0.980") || !strings.Contains(out, "Lovely soup.") {
		t.Errorf("%d %s%s", code, out, errOut)
	}
	if strings.Contains(out, "\x1b") {
		t.Errorf("a label reaches the terminal as it is: %q", out)
	}
	same(t, "the request", f.body(0), `{"model":"bert","inputs":["Lovely soup."],"fan_out":["imdb","topic@2"],"top_k":1}`)
	if f.asked[0].key != "Bearer lk_test" {
		t.Errorf("key %q", f.asked[0].key)
	}
	t.Run("reads lines from standard input", func(t *testing.T) {
		f := newFake(t, f.answers)
		out, _, code := f.run("\uFEFFone\r\n\n two \n", "predict", "--json")
		if code != 0 || out != two+"\n" {
			t.Errorf("%d %q", code, out)
		}
		same(t, "the request", f.body(0), `{"inputs":["one","two"],"top_k":1}`)
	})
	t.Run("asks the bare base beside an adapter", func(t *testing.T) {
		f := newFake(t, f.answers)
		if out, _, _ := f.run("", "predict", "-a", "imdb", "--bare", "x"); !strings.Contains(out, "BARE BASE") {
			t.Errorf("%s", out)
		}
		same(t, "the request", f.body(0), `{"inputs":["x"],"fan_out":[null,"imdb"],"top_k":1}`)
	})
	t.Run("asks a list of adapters", func(t *testing.T) {
		f := newFake(t, f.answers)
		out, errOut, code := f.run("", "predict", "--adapters", "imdb,topic@2", "x", "--calibrated")
		if code != 0 || !strings.Contains(out, "IMDB") || !strings.Contains(out, "TOPIC@2") {
			t.Errorf("%d %s%s", code, out, errOut)
		}
		same(t, "the request", f.body(0), `{"inputs":["x"],"fan_out":["imdb","topic@2"],"top_k":1,"calibrated":true}`)
	})
	t.Run("tells that a model abstains", func(t *testing.T) {
		f := newFake(t, map[string]http.HandlerFunc{"POST /predict": says(`{"results":[{"label":null,"score":0.6,"scores":[{"label":"positive","score":0.6}],"abstained":true},{"label":"a","score":0.9,"scores":[{"label":"a","score":0.9}],"abstained":false}]}`)})
		out, errOut, code := f.run("", "predict", "-a", "imdb", "--abstain-below", "0", "x", "y")
		if code != 0 || !strings.Contains(out, "x     abstains (positive 0.600)\n") || !strings.Contains(out, "y     a 0.900\n") {
			t.Errorf("%d %s%s", code, out, errOut)
		}
		same(t, "the request", f.body(0), `{"adapter":"imdb","inputs":["x","y"],"top_k":1,"abstain_below":0}`)
	})
	t.Run("cuts many texts into requests", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "texts")
		if err := os.WriteFile(file, []byte(strings.Repeat("text\n", 300)), 0o600); err != nil {
			t.Fatal(err)
		}
		f := newFake(t, map[string]http.HandlerFunc{"POST /predict": func(w http.ResponseWriter, r *http.Request) {
			var in struct{ Inputs []string }
			_ = json.NewDecoder(r.Body).Decode(&in)
			n := len(in.Inputs)
			one := `{"label":"a","score":1,"scores":[{"label":"a","score":1}]}`
			_, _ = io.WriteString(w, `{"results":[`+strings.TrimSuffix(strings.Repeat(one+",", n), ",")+`]}`)
		}})
		out, errOut, code := f.run("", "predict", "--file", file)
		if code != 0 || strings.Count(out, "a 1.000") != 300 || len(f.asked) != 2 {
			t.Errorf("%d, %d requests, %d lines: %s", code, len(f.asked), strings.Count(out, "\n"), errOut)
		}
	})
	t.Run("does not believe an answer of another length", func(t *testing.T) {
		if _, errOut, code := newFake(t, f.answers).run("", "predict", "x"); code != failed || !strings.Contains(errOut, "2 results, not 1") {
			t.Errorf("%d %s", code, errOut)
		}
	})
}

func TestGenerate(t *testing.T) {
	stream := "data: {\"text\":\"Guten\"}\n\n: heartbeat\n\ndata: {\"text\":\" Morgen.\"}\n\ndata: {\"finish_reason\":\"stop\",\"usage\":{\"input_tokens\":9,\"output_tokens\":3},\"timings\":{\"first_token_ms\":12,\"tokens_per_second\":80},\"warnings\":[\"parameters.seed does nothing\"]}\n\ndata: [DONE]\n\n"
	f := newFake(t, map[string]http.HandlerFunc{"POST /generate": says(stream)})
	out, errOut, code := f.run("", "generate", "-m", "t5", "-i", "Translate to German.", "Good", "morning.", "-n", "16", "--stats", "--stop", "a,b", "--seed", "18446744073709551615")
	if code != 0 || out != "Guten Morgen.\n" || !strings.Contains(errOut, "9 tokens read, 3 written (stop)") || !strings.Contains(errOut, "warning: parameters.seed") {
		t.Errorf("%d %q %q", code, out, errOut)
	}
	if want := `"seed":18446744073709551615`; !strings.Contains(f.asked[0].body, want) {
		t.Errorf("%s lacks %s", f.asked[0].body, want)
	}
	b := f.body(0)
	delete(b["parameters"].(map[string]any), "seed")
	same(t, "the request", b, `{"model":"t5","instruction":"Translate to German.","input":"Good morning.","stream":true,"parameters":{"max_new_tokens":16,"stop":["a,b"]}}`)

	for name, c := range map[string]struct{ stream, out, want string }{
		"an error in the middle": {"data: {\"text\":\"Gu\"}\n\nevent: error\ndata: {\"title\":\"Too busy\",\"status\":503,\"detail\":\"later\",\"request_id\":\"req_7\"}\n\n", "Gu\n", "Too busy: later\nrequest id req_7"},
		"a broken connection":    {"data: {\"text\":\"Gu\"}\n\n", "Gu\n", "the text breaks off"},
		"no JSON":                {"data: Gu\n\n", "", "not JSON"},
	} {
		f := newFake(t, map[string]http.HandlerFunc{"POST /generate": says(c.stream)})
		if out, errOut, code := f.run("", "generate", "x"); code != failed || out != c.out || !strings.Contains(errOut, c.want) {
			t.Errorf("%s: %d %q %q", name, code, out, errOut)
		}
	}
	f = newFake(t, map[string]http.HandlerFunc{"POST /generate": says(`{"text":"The Rhine.","finish_reason":"stop"}`)})
	if out, _, code := f.run("Name a river.\n", "generate", "--chat", "--no-stream", "--temperature", "0.5"); code != 0 || out != "The Rhine.\n" {
		t.Errorf("%d %q", code, out)
	}
	same(t, "the request", f.body(0), `{"messages":[{"role":"user","content":"Name a river."}],"parameters":{"do_sample":true,"temperature":0.5}}`)
	if _, _, code := f.run("", "generate", "--chat", "-i", "x", "y"); code != misused {
		t.Errorf("two ways to ask end with %d", code)
	}
}

func TestProblemsAreShown(t *testing.T) {
	many := `{"title":"Invalid request","status":422,"detail":"2 mistakes: …","code":"invalid","request_id":"req_1","errors":[{"line":3,"field":"text","reason":"is empty"},{"field":"name","reason":"\u001b]0;title\u0007is taken"}]}`
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   []string
	}{
		"every mistake has a line": {problem(422, many), []string{"Invalid request: 2 mistakes", "\n  line 3: text: is empty", "\n  name: "}},
		"a key is asked for":       {problem(401, `{"title":"API key needed","status":401,"detail":"send one","code":"missing_api_key"}`), []string{"API key needed", envKey}},
		"our fault has an id":      {problem(500, `{"title":"Internal error","status":500,"detail":"internal error","request_id":"req_9"}`), []string{"request id req_9"}},
		"a proxy's page":           {problem(502, `<html>bad gateway</html>`), []string{"502", "not as this service does"}},
		"no JSON":                  {says("hello"), []string{"is not JSON"}},
		"JSON of something else":   {says(`{"data": 7}`), []string{"newer than the command"}},
	} {
		f := newFake(t, map[string]http.HandlerFunc{"GET /models": c.answer})
		out, errOut, code := f.run("", "models")
		for _, w := range c.want {
			if !strings.Contains(errOut, w) {
				t.Errorf("%s: %q lacks %q", name, errOut, w)
			}
		}
		if code != failed || out != "" || strings.ContainsAny(errOut, "\x1b\x07") {
			t.Errorf("%s: %d %q %q", name, code, out, errOut)
		}
	}
	t.Setenv(envURL, "http://127.0.0.1:1")
	if _, errOut, code := command(t, "", "models"); code != failed || !strings.Contains(errOut, "no service at http://127.0.0.1:1") {
		t.Errorf("%d %s", code, errOut)
	}
}

func TestMisuse(t *testing.T) {
	t.Setenv(envURL, "http://127.0.0.1:1") // nothing may be sent
	for _, args := range [][]string{{"predict"}, {"predict", "--nope"}, {"predict", "x", "--file", "y"}, {"jobs", "nope"}, {"jobs", "get"}, {"jobs", "get", "a", "b"}, {"models", "x"}, {"predict", "x", "--url", "ftp://x"},
		{"predict", "x", "--top-k", "0"}, {"datasets", "upload"}, {"datasets", "upload", "a", "b", "--name", "c"}, {"tune", "all"}} {
		if _, errOut, code := command(t, "", args...); code != misused || errOut == "" {
			t.Errorf("%v: exit status %d: %s", args, code, errOut)
		}
	}
}

// Every command can be asked what it does, and shows how.
func TestHelp(t *testing.T) {
	root := &cobra.Command{Use: "service"}
	root.AddCommand(Commands()...)
	n := 0
	walk(root, func(c *cobra.Command) {
		if c == root {
			return
		}
		n++
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s lacks a summary or an example", c.CommandPath())
		}
		for line := range strings.SplitSeq(c.Example, "\n") {
			if !strings.Contains(line, "service ") {
				t.Errorf("%s: the example %q is not a command", c.CommandPath(), line)
			}
		}
		out, _, code := command(t, "", append(strings.Fields(c.CommandPath())[1:], "--help")...)
		if code != 0 || !strings.Contains(out, "Examples:") || !strings.Contains(out, "--json") {
			t.Errorf("%s --help: %d %s", c.CommandPath(), code, out)
		}
	})
	if n < 35 {
		t.Errorf("only %d commands", n)
	}
}

func TestCompletion(t *testing.T) {
	f := newFake(t, map[string]http.HandlerFunc{
		"GET /models":             says(`{"data":[{"name":"bert","kind":"base"},{"name":"whole","kind":"variant"}]}`),
		"GET /adapters?limit=100": says(`{"data":[{"name":"imdb","version":2,"versions":[1,2]}]}`),
		"GET /tune/jobs?limit=50": says(`{"data":[{"id":"job_1","name":"im\u001bdb","status":"running"}]}`)})
	for line, want := range map[string]string{
		"predict -m ": "bert\nwhole\n", "tune lora -m ": "bert\n", "predict -a ": "imdb\nimdb@1\nimdb@2\n", "jobs cancel ": "job_1\tim\uFFFDdb, running\n",
		"adapters rollback ": "imdb\n", "jobs list --status ": "queued\nrunning\n", "adapters traffic ": "imdb\n", "adapters merge imdb ": "imdb\nimdb@1\n",
		"adapters merge --method ": "linear\ncat\n", "datasets clean --drop ": "duplicate\n", "tune lora --gate-than ": "current\nbase\n", "predict --adapters ": "imdb\nimdb@1\n",
	} {
		out, _, _ := f.run("", append([]string{"__complete"}, strings.Split(line, " ")...)...)
		if !strings.HasPrefix(out, want) {
			t.Errorf("%q: %q, want %q", line, out, want)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if out, _, code := f.run("", "completion", shell); code != 0 || !strings.Contains(out, "service") {
			t.Errorf("%s: %d", shell, code)
		}
	}
	t.Setenv(envURL, "http://127.0.0.1:1")
	if out, _, _ := command(t, "", "__complete", "predict", "-m", ""); !strings.HasPrefix(out, ":4") {
		t.Errorf("without a service: %q", out)
	}
}

func TestDrawn(t *testing.T) {
	for share, want := range map[float64]string{-1: "  0 %", 0: "  0 %", 0.5: " 50 %", 1: "100 %", 2: "100 %"} {
		line := drawn(share, "step 1\x1b[2J of 2", 60)
		if !strings.Contains(line, want) || strings.Contains(line, "\x1b") || len([]rune(line)) > 59 {
			t.Errorf("%v: %q", share, line)
		}
	}
	var seen []string
	for v := range maps.Values(map[int]float64{0: 0, 1: 1e-5, 2: 0.25, 3: 123.456, 4: 1e7}) {
		seen = append(seen, figure(v))
	}
	slices.Sort(seen)
	if fmt.Sprint(seen) != "[0 0.250 1.00e+07 1.00e-05 123.5]" {
		t.Errorf("%v", seen)
	}
	if got := cleanText("a\n\tb\x1b[31m\u202Ec"); got != "a\n\tb\uFFFD[31m\uFFFDc" {
		t.Errorf("%q", got)
	}
}

func TestFeedback(t *testing.T) {
	entry := `{"id":"fb_1","row":{"text":"Fine.","label":"positive"},"created_at":"2026-03-01T12:00:00Z"}`
	f := newFake(t, map[string]http.HandlerFunc{
		"POST /feedback":                   says(entry),
		"GET /feedback?limit=100":          says(`{"data":[{"name":"mood","kind":"classification","rows":2,"created_at":"2026-03-01T12:00:00Z"}],"has_more":false}`),
		"GET /feedback/mood":               says(`{"name":"mood","kind":"classification","rows":2,"texts":1,"labels":{"positive":1},"answers":{"correct":1,"wrong":1,"unknown":0},"adapters":[{"adapter":"mood@1","correct":0,"wrong":1,"unknown":0}]}`),
		"GET /feedback/mood/rows?limit=20": says(`{"data":[` + entry + `],"has_more":false}`),
		"POST /feedback/mood/datasets":     says(`{"id":"ds_1","kind":"classification","rows":1,"name":"both","labels":{"positive":1}}`),
		"DELETE /feedback/mood":            says(""),
		"DELETE /feedback/mood/rows/fb_1":  says(""),
	})
	out, errOut, code := f.run("", "feedback", "add", "mood", "--text", "Fine.", "--label", "positive", "--adapter", "mood@1", "--request-id", "req_1", "--wrong")
	if code != 0 || out != "fb_1\n" {
		t.Errorf("%d %q %q", code, out, errOut)
	}
	same(t, "the request", f.body(0), `{"collection":"mood","row":{"text":"Fine.","label":"positive"},"adapter":"mood@1","request_id":"req_1","correct":false}`)
	if out, errOut, code = f.run(`{"source":"a","target":"b"}`+"\n\n"+`{"source":"c","target":"d"}`+"\n", "feedback", "add", "mood", "--file", "-", "--json"); code != 0 || out != entry+"\n"+entry+"\n" {
		t.Errorf("%d %q %q", code, out, errOut)
	}
	same(t, "the last request", f.body(2), `{"collection":"mood","row":{"source":"c","target":"d"}}`)
	for args, want := range map[string]string{
		"list": "mood        classification  2", "get mood": "mood@1   0        1", "rows mood": entry, "dataset mood --with ds_0 --name both --clear": "positive 1",
		"delete mood": "", "delete mood --row fb_1": "",
	} {
		if out, errOut, code := f.run("", append([]string{"feedback"}, strings.Fields(args)...)...); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: %d %q %q", args, code, out, errOut)
		}
	}
	for _, a := range f.asked {
		if a.at == "POST /feedback/mood/datasets" && a.body != `{"clear":true,"name":"both","with":"ds_0"}` {
			t.Errorf("the data set is asked for by %s", a.body)
		}
	}
	for _, args := range []string{"add mood", "add mood --text a", "add mood --text a --label b --file c", "add mood --text a --label b --correct --wrong", "delete a b --row fb_1"} {
		if _, errOut, code := f.run("", append([]string{"feedback"}, strings.Fields(args)...)...); code != misused {
			t.Errorf("%s: %d %s", args, code, errOut)
		}
	}
}
