package cli

import (
	"net/http"
	"strings"
	"testing"
)

func TestTraffic(t *testing.T) {
	f := newFake(t, map[string]http.HandlerFunc{
		"GET /adapters/imdb/traffic":    says(`{"name":"imdb","active":true,"versions":{"10":5,"9":95},"sticky":"header"}`),
		"GET /adapters/calm/traffic":    says(`{"name":"calm","active":false,"versions":{}}`),
		"POST /adapters/imdb/traffic":   says(`{"name":"imdb","active":true,"versions":{"3":9,"4":1},"sticky":"client"}`),
		"DELETE /adapters/imdb/traffic": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
	})
	for line, want := range map[string]string{
		"imdb":                         "imdb: @9 95 %, @10 5 %, sticky by header\n",
		"calm":                         "calm: not split: the current version answers all\n",
		"imdb 3=9 4=1 --sticky client": "imdb: @3 90 %, @4 10 %, sticky by client\n",
		"imdb --clear":                 "imdb: not split: the current version answers all\n",
		"imdb --clear --json":          "",
		"calm --json":                  `{"name":"calm","active":false,"versions":{}}` + "\n",
	} {
		if out, errOut, code := f.run("", append([]string{"adapters", "traffic"}, strings.Fields(line)...)...); code != 0 || out != want {
			t.Errorf("%s: %d %q %s, want %q", line, code, out, errOut, want)
		}
	}
	f.asked = nil
	f.run("", "adapters", "traffic", "imdb", "03=9", "4=-1")
	same(t, "the request", f.body(0), `{"versions":{"3":9,"4":-1}}`)
	f.asked = nil
	for _, line := range []string{"", "imdb 3", "imdb 3=", "imdb =3", "imdb 0=1", "imdb x=1", "imdb 3=1.5", "imdb 3=1 3=2", "imdb 3=1 --clear", "imdb --sticky none", "imdb --clear --sticky none"} {
		if _, errOut, code := f.run("", append([]string{"adapters", "traffic"}, strings.Fields(line)...)...); code != misused || len(f.asked) > 0 {
			t.Errorf("%q: %d, %d requests: %s", line, code, len(f.asked), errOut)
		}
	}
	if _, errOut, code := f.run("", "adapters", "traffic", "nope"); code != failed || !strings.Contains(errOut, "Not found") {
		t.Errorf("%d %s", code, errOut)
	}
}

func TestMerge(t *testing.T) {
	f := newFake(t, map[string]http.HandlerFunc{"POST /adapters/merge": says(`{"name":"both","version":1}`)})
	if out, errOut, code := f.run("", "adapters", "merge", "imdb@3=0.7", "reviews", "-n", "both"); code != 0 || out != "both@1\n" {
		t.Errorf("%d %q %s", code, out, errOut)
	}
	same(t, "the request", f.body(0), `{"name":"both","adapters":[{"adapter":"imdb@3","weight":0.7},{"adapter":"reviews"}]}`)
	f.run("", "adapters", "merge", "a=-1", "b", "--name", "both", "--method", "dare_ties", "--density", "0.25", "--sign", "frequency", "--seed", "18446744073709551615")
	if !strings.Contains(f.asked[1].body, `"seed":18446744073709551615`) {
		t.Errorf("a large seed loses digits: %s", f.asked[1].body)
	}
	b := f.body(1)
	delete(b, "seed")
	same(t, "the request", b, `{"name":"both","adapters":[{"adapter":"a","weight":-1},{"adapter":"b"}],"method":"dare_ties","density":0.25,"majority_sign_method":"frequency"}`)
	for _, line := range []string{"a b", "a -n x", "a=x b -n x", "a=NaN b -n x", "a=Inf b -n x", "a b -n x --density y"} {
		if _, errOut, code := f.run("", append([]string{"adapters", "merge"}, strings.Fields(line)...)...); code != misused || len(f.asked) != 2 {
			t.Errorf("%q: %d, %d requests: %s", line, code, len(f.asked), errOut)
		}
	}
}

func TestPassportAndCard(t *testing.T) {
	passport := `{"name":"imdb","version":3,"kind":"adapter","digest":"sha256:aa","base":{"name":"bert","source":"hf:x/bert","digest":"sha256:bb"},"labels":["no","yes"],"rank":8,"target_modules":["query","value"],
"training":{"kind":"lora","steps":183,"dataset":{"digest":"sha256:cc","source":{"id":"ds_1"}},"validation":{"source":{"split":0.1}},"hyperparameters":{"epochs":3}},
"gate":{"promoted":false,"reason":"eval_accuracy is 0.91; imdb@2 has 0.93 on the same rows"},"metrics":{"eval_accuracy":0.91},"files":{"README.md":{"size":12,"digest":"sha256:dd"}}}`
	f := newFake(t, map[string]http.HandlerFunc{
		"GET /adapters/imdb":                            says(`{"name":"imdb","version":3}`),
		"GET /adapters/imdb/versions/3/passport":        says(passport),
		"GET /adapters/imdb/versions/3/files/README.md": says("# imdb\n\x1bcard\n"),
	})
	out, errOut, code := f.run("", "adapters", "passport", "imdb")
	for _, w := range []string{"imdb@3", "bert hf:x/bert", "8 on query, value", `{"id":"ds_1"} sha256:cc`, `{"split":0.1}`, "held back: eval_accuracy is 0.91", `{"epochs":3}`, "0.910"} {
		if !strings.Contains(out, w) {
			t.Errorf("%d: %s%s lacks %q", code, out, errOut, w)
		}
	}
	if out, _, code := f.run("", "adapters", "passport", "imdb", "--json"); code != 0 || out != passport+"\n" {
		t.Errorf("%d %q", code, out)
	}
	if out, _, code := f.run("", "adapters", "card", "imdb"); code != 0 || out != "# imdb\n\x1bcard\n" { // into a file, it stays as it is
		t.Errorf("%d %q", code, out)
	}
	if _, _, code := f.run("", "adapters", "card", "nope"); code != failed {
		t.Errorf("%d", code)
	}
}
