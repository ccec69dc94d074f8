package mirror_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lorikeet/inference/hub"
	"lorikeet/inference/hub/mirror"
)

// lay writes files by their path.
func lay(t testing.TB, root string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func serve(t testing.TB) (address, root string) {
	t.Helper()
	root = t.TempDir()
	lay(t, root, map[string]string{
		"models/google-bert/bert-base-uncased/config.json":                                 `{"model_type":"bert"}`,
		"models/google-bert/bert-base-uncased/model.safetensors":                           strings.Repeat("weights", 1000),
		"models/google-bert/bert-base-uncased/.git/config":                                 "hidden",
		"models/gpt2/config.json":                                                          `{"model_type":"gpt2"}`,
		"datasets/stanfordnlp/imdb/README.md":                                              "---\n---\n",
		"datasets/stanfordnlp/imdb/plain_text/train-00000-of-00001.parquet":                "rows",
		"datasets/stanfordnlp/imdb@refs%2Fconvert%2Fparquet/plain_text/train/0000.parquet": "converted",
		"secret": "outside of every repository",
	})
	server := httptest.NewServer(&mirror.Hub{Find: mirror.Folder(root)})
	t.Cleanup(server.Close)
	return server.URL, root
}

func ask(t *testing.T, method, address string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Transport{}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestFolderIsAHub(t *testing.T) {
	address, root := serve(t)
	const bert = "/google-bert/bert-base-uncased"
	_, body := ask(t, "GET", address+"/api/models"+bert+"/revision/main?blobs=true")
	var info struct {
		SHA      string
		Siblings []struct{ RFilename, BlobID string }
	}
	if err := json.Unmarshal([]byte(body), &info); err != nil || len(info.Siblings) != 2 || len(info.SHA) != 40 {
		t.Fatal(err, body)
	}
	t.Run("a large file is sent with its etag, commit and length", func(t *testing.T) {
		resp, body := ask(t, "HEAD", address+bert+"/resolve/main/model.safetensors")
		if resp.StatusCode != 200 || body != "" || resp.Header.Get("X-Repo-Commit") != info.SHA || resp.Header.Get("X-Linked-Size") != "7000" ||
			resp.Header.Get("Etag") != resp.Header.Get("X-Linked-Etag") || len(resp.Header.Get("Etag")) != 66 || resp.ContentLength != 7000 {
			t.Error(resp.Status, resp.Header)
		}
	})
	t.Run("ranges are heeded", func(t *testing.T) {
		resp, body := ask(t, "GET", address+bert+"/resolve/"+info.SHA+"/model.safetensors", "Range", "bytes=6993-")
		if resp.StatusCode != 206 || body != "weights" || resp.Header.Get("Content-Range") != "bytes 6993-6999/7000" {
			t.Error(resp.Status, resp.Header, body)
		}
	})
	t.Run("a small file is redirected within the hub", func(t *testing.T) {
		resp, _ := ask(t, "GET", address+bert+"/resolve/main/config.json")
		if resp.StatusCode != 307 {
			t.Fatal(resp.Status)
		}
		if resp, body := ask(t, "GET", address+resp.Header.Get("Location")); body != `{"model_type":"bert"}` || resp.Header.Get("X-Repo-Commit") != info.SHA {
			t.Error(resp.Status, body)
		}
	})
	for name, c := range map[string]struct {
		path string
		code string
	}{
		"no such repository": {"/api/models/a/b/revision/main", "RepoNotFound"},
		"no such revision":   {"/api/models" + bert + "/revision/other", "RevisionNotFound"},
		"no such file":       {bert + "/resolve/main/pytorch_model.bin", "EntryNotFound"},
		"a hidden file":      {bert + "/resolve/main/.git/config", "EntryNotFound"},
		"a folder":           {"/datasets/stanfordnlp/imdb/resolve/main/plain_text", "EntryNotFound"},
		"a climb":            {bert + "/resolve/main/..%2F..%2F..%2Fsecret", "EntryNotFound"},
		"a climbing id":      {"/api/models/..%2F../secret/revision/main", "RepoNotFound"},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := ask(t, "GET", address+c.path)
			if resp.Header.Get("X-Error-Code") != c.code || resp.StatusCode < 400 || strings.Contains(body, "outside") {
				t.Error(resp.Status, resp.Header, body)
			}
		})
	}
	t.Run("other methods are refused", func(t *testing.T) {
		if resp, _ := ask(t, "POST", address+bert+"/resolve/main/config.json"); resp.StatusCode != 405 || resp.Header.Get("Allow") == "" {
			t.Error(resp.Status)
		}
	})
	t.Run("a change is another commit", func(t *testing.T) {
		lay(t, root, map[string]string{"models/gpt2/vocab.json": "{}"})
		_, before := ask(t, "GET", address+"/api/models/gpt2")
		lay(t, root, map[string]string{"models/gpt2/vocab.json": `{"a":1}`})
		if _, after := ask(t, "GET", address+"/api/models/gpt2"); after == before {
			t.Error("the same commit")
		}
	})
}

func TestTheClientFetchesFromAFolder(t *testing.T) {
	address, _ := serve(t)
	c := hub.Client{Endpoint: address, CacheDir: t.TempDir()}
	for source, want := range map[string]string{
		"hf:google-bert/bert-base-uncased": "model.safetensors", "hf:gpt2": "config.json",
		"hf:datasets/stanfordnlp/imdb":                      "plain_text/train-00000-of-00001.parquet",
		"hf:datasets/stanfordnlp/imdb@refs/convert/parquet": "plain_text/train/0000.parquet",
	} {
		ref, err := hub.Parse(source)
		if err != nil {
			t.Fatal(err)
		}
		dir, _, err := c.Fetch(t.Context(), ref, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, want)); err != nil {
			t.Errorf("%s: %v", source, err)
		}
	}
}

// huggingface_hub takes the mirror for a hub. It is asked where python3 (or
// $LORIKEET_PYTHON) has it.
func TestHuggingfaceHubFetchesFromAFolder(t *testing.T) {
	python := os.Getenv("LORIKEET_PYTHON")
	if python == "" {
		python = "python3"
	}
	if err := exec.Command(python, "-c", "import huggingface_hub").Run(); err != nil {
		t.Skip("missing Python package huggingface_hub")
	}
	address, root := serve(t)
	cmd := exec.Command(python, "-c", `
from huggingface_hub import snapshot_download, hf_hub_download, HfApi
print(open(hf_hub_download("google-bert/bert-base-uncased", "model.safetensors")).read()[:7])
print(snapshot_download("stanfordnlp/imdb", repo_type="dataset"))
print(open(hf_hub_download("stanfordnlp/imdb", "plain_text/train/0000.parquet", repo_type="dataset", revision="refs/convert/parquet")).read())
print(sorted(HfApi().list_repo_files("google-bert/bert-base-uncased")))`)
	cmd.Env = append(os.Environ(), "HF_ENDPOINT="+address, "HF_HOME="+t.TempDir(), "HF_HUB_DISABLE_XET=1", "HF_HUB_DISABLE_PROGRESS_BARS=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) < 4 {
		t.Fatal(string(out))
	}
	lines = lines[len(lines)-4:]
	if lines[0] != "weights" || lines[2] != "converted" || lines[3] != "['config.json', 'model.safetensors']" {
		t.Error(string(out))
	}
	for _, name := range []string{"README.md", "plain_text/train-00000-of-00001.parquet"} {
		want, _ := os.ReadFile(filepath.Join(root, "datasets/stanfordnlp/imdb", name))
		if got, err := os.ReadFile(filepath.Join(lines[1], name)); err != nil || string(got) != string(want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// FuzzPath: no path is a panic, or leads out of a repository.
func FuzzPath(f *testing.F) {
	_, root := serve(f)
	h := &mirror.Hub{Find: mirror.Folder(root)}
	for _, p := range []string{"/api/models/gpt2", "/gpt2/resolve/main/config.json", "/api/resolve-cache/datasets/stanfordnlp/imdb/main/README.md",
		"/datasets/stanfordnlp/imdb/resolve/refs%2Fconvert%2Fparquet/x", "/api/datasets/..%2F../tree/main", "/gpt2/resolve/main/%2E%2E/%2E%2E/secret", "//", "/api", "/%00", "/gpt2/resolve/main/%00", "/gpt2/resolve/main/" + strings.Repeat("a", 300)} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.Parse("http://hub" + path)
		if err != nil || u.Host != "hub" {
			return
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, &http.Request{Method: "GET", URL: u, Header: http.Header{}})
		if w.Code == http.StatusInternalServerError || strings.Contains(w.Body.String(), "outside of every") || strings.Contains(w.Body.String(), "hidden") {
			t.Fatalf("%q: %d %s", path, w.Code, w.Body)
		}
	})
}
