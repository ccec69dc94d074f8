package hub

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lorikeet/adapters/invalid"
)

func TestFromEnvReadsWhatHuggingfaceHubReads(t *testing.T) {
	home := t.TempDir()
	write := func(path, token string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(home, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, path), []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(".cache/huggingface/token", "hf_default")
	write("hf/token", "hf_home")
	write("elsewhere", "hf_elsewhere")
	in := func(path string) string { return filepath.Join(home, filepath.FromSlash(path)) }
	for _, c := range []struct {
		name string
		env  map[string]string
		want Client
	}{
		{"nothing set", nil, Client{CacheDir: in(".cache/huggingface/hub"), Token: "hf_default"}},
		{"XDG_CACHE_HOME", map[string]string{"XDG_CACHE_HOME": in("xdg")}, Client{CacheDir: in("xdg/huggingface/hub")}},
		{"HF_HOME", map[string]string{"HF_HOME": in("hf"), "XDG_CACHE_HOME": in("xdg")}, Client{CacheDir: in("hf/hub"), Token: "hf_home"}},
		{"HF_HOME with a tilde", map[string]string{"HF_HOME": "~/hf"}, Client{CacheDir: in("hf/hub"), Token: "hf_home"}},
		{"HF_HOME with a variable", map[string]string{"HF_HOME": "$HOME/hf"}, Client{CacheDir: in("hf/hub"), Token: "hf_home"}},
		{"HF_HUB_CACHE", map[string]string{"HF_HUB_CACHE": in("c"), "HUGGINGFACE_HUB_CACHE": in("d"), "HF_HOME": in("hf")}, Client{CacheDir: in("c"), Token: "hf_home"}},
		{"the old name of HF_HUB_CACHE", map[string]string{"HUGGINGFACE_HUB_CACHE": in("d")}, Client{CacheDir: in("d"), Token: "hf_default"}},
		{"HF_TOKEN", map[string]string{"HF_TOKEN": " hf_mine\n"}, Client{CacheDir: in(".cache/huggingface/hub"), Token: "hf_mine"}},
		{"the old name of HF_TOKEN", map[string]string{"HUGGING_FACE_HUB_TOKEN": "hf_mine"}, Client{CacheDir: in(".cache/huggingface/hub"), Token: "hf_mine"}},
		{"HF_TOKEN_PATH", map[string]string{"HF_TOKEN_PATH": in("elsewhere")}, Client{CacheDir: in(".cache/huggingface/hub"), Token: "hf_elsewhere"}},
		{"a token that is not to be sent", map[string]string{"HF_TOKEN": "hf_mine", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}, Client{CacheDir: in(".cache/huggingface/hub")}},
		{"HF_ENDPOINT", map[string]string{"HF_ENDPOINT": "https://hf-mirror.com/"}, Client{Endpoint: "https://hf-mirror.com", CacheDir: in(".cache/huggingface/hub"), Token: "hf_default"}},
		{"HF_HUB_OFFLINE", map[string]string{"HF_HUB_OFFLINE": "True"}, Client{CacheDir: in(".cache/huggingface/hub"), Token: "hf_default", Offline: true}},
		{"TRANSFORMERS_OFFLINE", map[string]string{"TRANSFORMERS_OFFLINE": "on"}, Client{CacheDir: in(".cache/huggingface/hub"), Token: "hf_default", Offline: true}},
		{"offline switched off", map[string]string{"HF_HUB_OFFLINE": "0"}, Client{CacheDir: in(".cache/huggingface/hub"), Token: "hf_default"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := map[string]string{"HOME": home}
			maps.Copy(env, c.env)
			got := FromEnv(func(name string) string { return env[name] })
			if got.Endpoint != c.want.Endpoint || got.CacheDir != c.want.CacheDir || got.Token != c.want.Token || got.Offline != c.want.Offline {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestParse(t *testing.T) {
	for s, want := range map[string]Ref{
		"hf:owner/name":                   {Owner: "owner", Name: "name"},
		"owner/name":                      {Owner: "owner", Name: "name"},
		"hf://owner/name":                 {Owner: "owner", Name: "name"},
		"hf:owner/name@v1.0":              {Owner: "owner", Name: "name", Revision: "v1.0"},
		"hf:owner/name@refs/pr/12":        {Owner: "owner", Name: "name", Revision: "refs/pr/12"},
		"hf:datasets/owner/name@main":     {Owner: "owner", Name: "name", Revision: "main", Dataset: true},
		"hf:datasets/imdb":                {Name: "imdb", Dataset: true},
		"hf:models/owner/name":            {Owner: "owner", Name: "name"},
		"hf:gpt2":                         {Name: "gpt2"},
		"hf:HuggingFaceTB/SmolLM2-135M_x": {Owner: "HuggingFaceTB", Name: "SmolLM2-135M_x"},
		"hf:a/b.c":                        {Owner: "a", Name: "b.c"},
	} {
		got, err := Parse(s)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v", s, got, err)
		}
		if again, err := Parse(got.String()); err != nil || again != want {
			t.Errorf("%s became %s: %+v, %v", s, got, again, err)
		}
	}
	for _, s := range []string{
		"", "hf:", "name", "hf:a/b/c", "hf:/b", "hf:a/", "a//b", "hf:a/b@", "hf:a/b@../x", "hf:a/b@/x", "hf:a/b@x/", "hf:a/b@x//y",
		"hf:a/b@a b", `hf:a/b@a\b`, "hf:a/b@x@y", "hf:a/b@.", "hf:../b", "hf:a/..", "hf:a/b..c", "hf:a/b--c", "hf:a--b/c", "hf:a/.b", "hf:a/b.",
		"hf:a/-b", "hf:a/b.git", "hf:a/b c", "hf:a/é", "hf:a/b\x00", "hf:a/" + strings.Repeat("b", 97), "hf:a/b@" + strings.Repeat("c", 256),
		"http://huggingface.co/a/b", "datasets/imdb",
	} {
		if r, err := Parse(s); !invalid.Is(err) {
			t.Errorf("%q: got %+v, %v", s, r, err)
		}
	}
}

func TestModelFilesTakesWhatServingNeeds(t *testing.T) {
	for name, want := range map[string]bool{
		"config.json": true, "model.safetensors": true, "model-00001-of-00002.safetensors": true, "model.safetensors.index.json": true,
		"tokenizer.json": true, "vocab.txt": true, "merges.txt": true, "spiece.model": true, "source.spm": true, "chat_template.jinja": true,
		"pytorch_model.bin": false, "tf_model.h5": false, "README.md": false, "onnx/model.onnx": false, "1_Pooling/config.json": false, "training_args.bin": false,
	} {
		if ModelFiles(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

// FuzzParse wants what is accepted to stay in the cache and to be read again.
func FuzzParse(f *testing.F) {
	f.Add("hf:owner/name@refs/pr/1")
	f.Add("hf:datasets/a/b")
	f.Add("hf:a/../b@..")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		if err != nil {
			if !invalid.Is(err) {
				t.Fatal(err)
			}
			return
		}
		if again, err := Parse(r.String()); err != nil || again != r {
			t.Fatalf("%q: %+v became %+v, %v", s, r, again, err)
		}
		if !filepath.IsLocal(r.folder()) || strings.ContainsAny(r.folder(), `/\`) || !filepath.IsLocal(filepath.FromSlash(r.revision())) {
			t.Fatalf("%q: %s %s", s, r.folder(), r.revision())
		}
	})
}

// FuzzListing wants the files that may be fetched to stay in their folder, each once.
func FuzzListing(f *testing.F) {
	f.Add([]byte(`{"sha":"` + strings.Repeat("0", 40) + `","siblings":[{"rfilename":"a/b","size":3,"blobId":"x","lfs":{"sha256":"y","size":3}}]}`))
	f.Add([]byte(`{"sha":"` + strings.Repeat("0", 40) + `","siblings":[{"rfilename":"../b"},{"rfilename":"a\\..\\b"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := parseListing(b)
		if err != nil {
			return
		}
		files, err := l.wanted(func(string) bool { return true })
		if err != nil {
			return
		}
		if !json.Valid(b) || !commitID.MatchString(l.commit) {
			t.Fatal(l.commit)
		}
		seen := map[string]bool{}
		for _, file := range files {
			path := filepath.Clean(snapshotFile("/repo", l.commit, file.name))
			if !strings.HasPrefix(path, filepath.Clean(snapshotDir("/repo", l.commit))+string(filepath.Separator)) || seen[path] {
				t.Fatalf("%q is %s", file.name, path)
			}
			seen[path] = true
		}
	})
}
