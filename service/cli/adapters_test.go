package cli

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAdapters(t *testing.T) {
	one := `{"name":"imdb","version":2,"versions":[1,2],"kind":"adapter","base":"bert","files":{"adapter_config.json":{"bytes":2},"adapter_model.safetensors":{"bytes":3}},"residency":"device"}`
	f := newFake(t, map[string]http.HandlerFunc{
		"GET /adapters?limit=100":                                       says(`{"data":[` + one + `],"has_more":true,"last_id":"imdb"}`),
		"GET /adapters?after=imdb&limit=100":                            says(`{"data":[{"name":"zeta","version":1,"versions":[1]}],"has_more":false}`),
		"GET /adapters/imdb":                                            says(one),
		"GET /adapters/imdb/versions/2/files/adapter_config.json":       says("{}"),
		"GET /adapters/imdb/versions/2/files/adapter_model.safetensors": says("abc"),
		"POST /adapters/imdb/versions/2/pin":                            says(strings.Replace(one, `"residency"`, `"pinned":true,"residency"`, 1)),
		"DELETE /adapters/imdb/versions/2":                              func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"POST /adapters/imdb/rollback":                                  says(strings.Replace(one, `"version":2`, `"version":1`, 1)),
		"POST /adapters":                                                says(one),
		"GET /adapters/evil":                                            says(strings.Replace(one, "adapter_config.json", "../../evil", 1)),
		"GET /adapters/short":                                           says(strings.ReplaceAll(one, `"bytes":3`, `"bytes":4`)),
	})
	out, _, code := f.run("", "adapters", "list")
	if code != 0 || !strings.Contains(out, "imdb@2") || !strings.Contains(out, "zeta@1") {
		t.Errorf("%d %s", code, out)
	}
	dir := filepath.Join(t.TempDir(), "imdb")
	if out, errOut, code := f.run("", "adapters", "download", "imdb", "--to", dir); code != 0 || strings.Count(out, "\n") != 2 {
		t.Errorf("%d %s %s", code, out, errOut)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "adapter_model.safetensors")); err != nil || string(text) != "abc" {
		t.Errorf("%q %v", text, err)
	}
	for _, name := range []string{"evil", "short"} {
		bad := filepath.Join(t.TempDir(), "x", "y")
		if _, errOut, code := f.run("", "adapters", "download", name, "--to", bad); code != failed {
			t.Errorf("%s: %d %s", name, code, errOut)
		}
		left, _ := filepath.Glob(filepath.Join(bad, ".*-*"))
		if _, err := os.Stat(filepath.Join(bad, "../../evil")); err == nil || len(left) > 0 {
			t.Errorf("%s leaves something: %v", name, left)
		}
	}
	if out, _, code := f.run("", "adapters", "pin", "imdb"); code != 0 || out != "imdb@2 device, pinned\n" {
		t.Errorf("%d %q", code, out)
	}
	if out, _, code := f.run("", "adapters", "rollback", "imdb", "1"); code != 0 || out != "imdb is now imdb@1\n" {
		t.Errorf("%d %q", code, out)
	}
	before := len(f.asked)
	if _, errOut, code := f.run("", "adapters", "delete", "imdb@2"); code != misused || len(f.asked) != before {
		t.Errorf("without --yes: %d %s", code, errOut)
	}
	if _, errOut, code := f.run("", "adapters", "delete", "imdb@2", "nope", "--yes"); code != failed || !strings.Contains(errOut, "nope: Not found") || len(f.asked) != before+2 {
		t.Errorf("%d %s", code, errOut)
	}
	if out, errOut, code := f.run("", "adapters", "import", dir, "-n", "copy", "-m", "bert"); code != 0 || out != "imdb@2\n" {
		t.Errorf("%d %s %s", code, out, errOut)
	}
	sent := f.asked[len(f.asked)-1]
	for _, w := range []string{`name="name"` + "\r\n\r\ncopy", `filename="adapter_config.json"`, "\r\n\r\nabc\r\n"} {
		if !strings.Contains(sent.body, w) {
			t.Errorf("the form lacks %q", w)
		}
	}
	if _, _, code := f.run("", "adapters", "import", "hf:owner/repo", "-n", "hub"); code != 0 {
		t.Errorf("from the hub: %d", code)
	}
	same(t, "the request", f.body(len(f.asked)-1), `{"name":"hub","source":"hf:owner/repo"}`)
	for _, args := range [][]string{{"get", "imdb@x"}, {"delete", "imdb@0", "--yes"}, {"rollback", "imdb", "one"}, {"import", dir}} {
		if _, _, code := f.run("", append([]string{"adapters"}, args...)...); code != misused {
			t.Errorf("%v: %d", args, code)
		}
	}
}
