package hub

import (
	"maps"
	"os"
	"os/exec"
	"strings"
	"testing"

	"lorikeet/inference/hub/hubtest"
)

// huggingface_hub, the reference, and this package use one cache, in either order;
// and it finds hubtest to be a hub. It is asked where python3 (or
// $LORIKEET_PYTHON) has it.
func TestTheCacheIsSharedWithHuggingfaceHub(t *testing.T) {
	python := os.Getenv("LORIKEET_PYTHON")
	if python == "" {
		python = "python3"
	}
	if err := exec.Command(python, "-c", "import huggingface_hub").Run(); err != nil {
		t.Skip("missing Python package huggingface_hub")
	}
	files := model()
	server := hubtest.New(t, map[string]hubtest.Repo{
		"owner/model": {Files: files, Token: "hf_secret"}, "datasets/owner/set": {Files: files},
	})
	snapshot := func(t *testing.T, cache, id, kind string, offline bool) string {
		t.Helper()
		cmd := exec.Command(python, "-c", `import sys; from huggingface_hub import snapshot_download
print(snapshot_download(sys.argv[1], repo_type=sys.argv[2], cache_dir=sys.argv[3]))`, id, kind, cache)
		cmd.Env = append(os.Environ(), "HF_ENDPOINT="+server.URL, "HF_TOKEN=hf_secret", "HF_HUB_DISABLE_XET=1", "HF_HUB_DISABLE_PROGRESS_BARS=1", "HF_HOME="+t.TempDir())
		if offline {
			cmd.Env = append(cmd.Env, "HF_HUB_OFFLINE=1")
		}
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, err.(*exec.ExitError).Stderr)
		}
		return strings.TrimSpace(string(out))
	}
	// downloads counts what was transferred since the last Forget.
	downloads := func() (n int) {
		for _, r := range server.Requests("") {
			if r.Method == "GET" && (r.Storage || strings.Contains(r.Path, "resolve-cache")) {
				n++
			}
		}
		return n
	}
	for spec, c := range map[string]struct{ id, kind string }{"hf:owner/model": {"owner/model", "model"}, "hf:datasets/owner/set": {"owner/set", "dataset"}} {
		t.Run("what it fetched "+spec, func(t *testing.T) {
			cl := client(t, server)
			cl.Token = "hf_secret"
			server.Forget()
			dir := snapshot(t, cl.CacheDir, c.id, c.kind, false)
			if downloads() == 0 {
				t.Fatal("it downloaded nothing")
			}
			server.Forget()
			for _, offline := range []bool{false, true} {
				cl.Offline = offline
				if got, _, err := cl.Fetch(t.Context(), ref(t, spec), nil); err != nil || got != dir {
					t.Errorf("offline %v: %s, %v", offline, got, err)
				}
			}
			if n := downloads(); n > 0 {
				t.Errorf("downloaded %d files again", n)
			}
		})
		t.Run("what we fetched "+spec, func(t *testing.T) {
			cl := client(t, server)
			cl.Token = "hf_secret"
			dir, _, err := cl.Fetch(t.Context(), ref(t, spec), nil)
			if err != nil {
				t.Fatal(err)
			}
			server.Forget()
			for _, offline := range []bool{false, true} {
				if got := snapshot(t, cl.CacheDir, c.id, c.kind, offline); got != dir {
					t.Errorf("offline %v: %s", offline, got)
				}
			}
			if n := downloads(); n > 0 {
				t.Errorf("it downloaded %d files again", n)
			}
			if !maps.Equal(contents(t, dir), want(files)) {
				t.Error("it changed the files")
			}
		})
	}
}
