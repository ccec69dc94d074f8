package hub

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"lorikeet/adapters/invalid"
	"lorikeet/inference/hub/hubtest"
)

// model has two large files, and small ones in the root and below it.
func model() fstest.MapFS {
	big := strings.Repeat("0123456789abcdef", 100_000) // 1.6 MB
	return fstest.MapFS{
		"config.json":           {Data: []byte(`{"model_type":"bert"}`)},
		"tokenizer.json":        {Data: []byte(`{"version":"1.0"}`)},
		"model.safetensors":     {Data: []byte(big)},
		"pytorch_model.bin":     {Data: []byte("a pickle")},
		"1_Pooling/config.json": {Data: []byte(`{}`)},
		"empty.txt":             {Data: nil},
		"odd name %20#?.txt":    {Data: []byte("odd")},
	}
}

// client is one of server, with an empty cache and no patience.
func client(t testing.TB, server *hubtest.Server) *Client {
	return &Client{Endpoint: server.URL, CacheDir: t.TempDir(), Backoff: time.Millisecond, Stall: 20 * time.Second}
}

func ref(t testing.TB, s string) Ref {
	t.Helper()
	r, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// contents reads a snapshot.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		all[filepath.ToSlash(name)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// want is what contents should find.
func want(files fstest.MapFS, names ...string) map[string]string {
	all := map[string]string{}
	for name, f := range files {
		if len(names) == 0 || slices.Contains(names, name) {
			all[name] = string(f.Data)
		}
	}
	return all
}

func TestFetchFillsTheCacheAsHuggingfaceHubDoes(t *testing.T) {
	files := model()
	server := hubtest.New(t, map[string]hubtest.Repo{"owner/model": {Files: files}})
	c := client(t, server)
	dir, commit, err := c.Fetch(t.Context(), ref(t, "hf:owner/model"), nil)
	if err != nil {
		t.Fatal(err)
	}
	repo := filepath.Join(c.CacheDir, "models--owner--model")
	if wantCommit, _ := hubtest.Commit(files); commit != wantCommit || dir != filepath.Join(repo, "snapshots", commit) {
		t.Errorf("%s at %s", dir, commit)
	}
	if got := contents(t, dir); !maps.Equal(got, want(files)) {
		t.Errorf("files %v", slices.Sorted(maps.Keys(got)))
	}
	for name, target := range map[string]string{
		// printf '{"model_type":"bert"}' | git hash-object --stdin
		"config.json":           "../../blobs/3967ff7fee9d40eb77abadd6a292230496ca9f24",
		"1_Pooling/config.json": "../../../blobs/9e26dfeeb6e641a33dae4961196235bdb965b21b",
		"empty.txt":             "../../blobs/e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
		// sha256sum
		"pytorch_model.bin": "../../blobs/16fadaba7e7d852e5631118b26f29307114a71d301a856003a407403311459c6",
	} {
		if got, err := os.Readlink(filepath.Join(dir, filepath.FromSlash(name))); err != nil || filepath.ToSlash(got) != target {
			t.Errorf("%s links to %s, want %s (%v)", name, got, target, err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(repo, "refs", "main")); err != nil || string(b) != commit {
		t.Errorf("refs/main is %q, %v", b, err)
	}
	left, _ := filepath.Glob(filepath.Join(repo, "*", "*.*"))
	for _, name := range left {
		if filepath.Dir(name) != filepath.Join(repo, "trees") {
			t.Errorf("left over: %s", name)
		}
	}

	// Again: only the branch is looked up. By its commit: nothing is asked.
	server.Forget()
	if again, _, err := c.Fetch(t.Context(), ref(t, "hf:owner/model@main"), nil); err != nil || again != dir {
		t.Error(again, err)
	}
	if got := server.Requests(""); len(got) != 1 || got[0].Path != "/api/models/owner/model/revision/main" {
		t.Errorf("asked for %v", got)
	}
	server.Forget()
	if again, _, err := c.Fetch(t.Context(), ref(t, "hf:owner/model@"+commit), nil); err != nil || again != dir {
		t.Error(again, err)
	}
	if got := server.Requests(""); len(got) != 0 {
		t.Errorf("asked for %v", got)
	}
}

func TestFetchTakesOnlyWhatIsWanted(t *testing.T) {
	files := model()
	server := hubtest.New(t, map[string]hubtest.Repo{"owner/model": {Files: files}})
	c := client(t, server)
	dir, _, err := c.Fetch(t.Context(), ref(t, "owner/model"), ModelFiles)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"config.json", "tokenizer.json", "model.safetensors", "empty.txt", "odd name %20#?.txt"}
	if got := contents(t, dir); !maps.Equal(got, want(files, names...)) {
		t.Errorf("files %v", slices.Sorted(maps.Keys(got)))
	}
	// The rest comes when it is wanted, and what is there stays.
	server.Forget()
	if _, _, err := c.Fetch(t.Context(), ref(t, "owner/model"), nil); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, dir); !maps.Equal(got, want(files)) {
		t.Errorf("files %v", slices.Sorted(maps.Keys(got)))
	}
	if got := server.Requests("tokenizer.json"); len(got) != 0 {
		t.Errorf("asked again for %v", got)
	}
	if _, _, err := c.Fetch(t.Context(), ref(t, "owner/model"), func(string) bool { return false }); !errors.Is(err, ErrNotFound) {
		t.Errorf("nothing wanted: %v", err)
	}
}

func TestFetchFindsEveryKindOfRepositoryAndRevision(t *testing.T) {
	old, pr := strings.Repeat("a", 40), strings.Repeat("b", 40)
	files := fstest.MapFS{"a.json": {Data: []byte("[]")}, "data/train.parquet": {Data: []byte("PAR1")}}
	repo := hubtest.Repo{Files: files, Refs: map[string]string{"v1.0": old, "refs/pr/1": pr}}
	main, _ := hubtest.Commit(files)
	server := hubtest.New(t, map[string]hubtest.Repo{
		"owner/model": repo, "gpt2": repo, "datasets/owner/set": repo, "datasets/imdb": repo,
		"owner/bare": {Files: files, Bare: true},
	})
	for spec, c := range map[string]struct{ folder, ref, commit string }{
		"hf:owner/model":                 {"models--owner--model", "main", main},
		"hf:gpt2":                        {"models--gpt2", "main", main},
		"hf:datasets/owner/set":          {"datasets--owner--set", "main", main},
		"hf:datasets/imdb@v1.0":          {"datasets--imdb", "v1.0", old},
		"hf:owner/model@refs/pr/1":       {"models--owner--model", "refs/pr/1", pr},
		"hf:owner/model@" + old:          {"models--owner--model", "", old},
		"hf:owner/bare":                  {"models--owner--bare", "main", main},
		"hf://datasets/owner/set@" + old: {"datasets--owner--set", "", old},
	} {
		t.Run(spec, func(t *testing.T) {
			cl := client(t, server)
			dir, commit, err := cl.Fetch(t.Context(), ref(t, spec), nil)
			if err != nil || commit != c.commit || dir != filepath.Join(cl.CacheDir, c.folder, "snapshots", c.commit) {
				t.Fatal(dir, commit, err)
			}
			if got := contents(t, dir); !maps.Equal(got, want(files)) {
				t.Error(got)
			}
			if c.ref != "" {
				b, err := os.ReadFile(filepath.Join(cl.CacheDir, c.folder, "refs", filepath.FromSlash(c.ref)))
				if err != nil || string(b) != c.commit {
					t.Errorf("the ref is %q, %v", b, err)
				}
			}
			// Both without the hub, and with one that is gone.
			cl.Offline = true
			if again, _, err := cl.Fetch(t.Context(), ref(t, spec), nil); err != nil || again != dir {
				t.Error(again, err)
			}
		})
	}
}

func TestFetchFollowsABranchAndKeepsWhatDidNotChange(t *testing.T) {
	files := model()
	server := hubtest.New(t, map[string]hubtest.Repo{"owner/model": {Files: files}})
	c := client(t, server)
	first, _, err := c.Fetch(t.Context(), ref(t, "owner/model"), nil)
	if err != nil {
		t.Fatal(err)
	}
	pushed := model()
	pushed["config.json"] = &fstest.MapFile{Data: []byte(`{"model_type":"roberta"}`)}
	server.Replace(t, "owner/model", hubtest.Repo{Files: pushed})
	server.Forget()
	second, _, err := c.Fetch(t.Context(), ref(t, "owner/model"), nil)
	if err != nil || second == first {
		t.Fatal(second, err)
	}
	if got := contents(t, second); !maps.Equal(got, want(pushed)) {
		t.Error("the new snapshot is not what was pushed")
	}
	if got := contents(t, first); !maps.Equal(got, want(files)) {
		t.Error("the old snapshot has changed")
	}
	for _, r := range server.Requests("") {
		if r.Storage && r.Method == "GET" {
			t.Errorf("downloaded again: %v", r)
		}
	}
}

func TestTheTokenStaysWithTheHub(t *testing.T) {
	files := model()
	server := hubtest.New(t, map[string]hubtest.Repo{
		"owner/private": {Files: files, Token: "hf_secret"}, "owner/gated": {Files: files, Token: "hf_secret", Gated: true},
	})
	for _, name := range []string{"owner/private", "owner/gated"} {
		c := client(t, server)
		c.Token = "hf_secret"
		// The storage answers 400 to a request with a token.
		dir, _, err := c.Fetch(t.Context(), ref(t, name), nil)
		if err != nil || !maps.Equal(contents(t, dir), want(files)) {
			t.Error(name, err)
		}
	}
	hub, storage := 0, 0
	for _, r := range server.Requests("") {
		switch {
		case r.Storage && r.Authorization == "":
			storage++
		case !r.Storage && r.Authorization == "Bearer hf_secret":
			hub++
		default:
			t.Errorf("%+v", r)
		}
	}
	if hub == 0 || storage == 0 {
		t.Errorf("%d requests of the hub, %d of the storage", hub, storage)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	files := model()
	server := hubtest.New(t, map[string]hubtest.Repo{
		"owner/model": {Files: files}, "owner/private": {Files: files, Token: "hf_secret"},
		"owner/gated": {Files: files, Token: "hf_secret", Gated: true},
	})
	for _, c := range []struct {
		name, ref, token string
		status           int // of every answer
		want             error
		says             []string
	}{
		{"a repository that does not exist", "owner/nothing", "", 0, ErrNotFound, []string{"hf:owner/nothing", "spelling", "HF_TOKEN"}},
		{"a repository that does not exist, with a token", "owner/nothing", "hf_other", 0, ErrNotFound, []string{"spelling"}},
		{"a private repository without a token", "owner/private", "", 0, ErrNotFound, []string{"private", "set HF_TOKEN"}},
		{"a private repository with another's token", "owner/private", "hf_other", 0, ErrNotFound, []string{"private", "lacks the right"}},
		{"a gated repository without a token", "owner/gated", "", 0, ErrGated, []string{"licence", "set HF_TOKEN"}},
		{"a gated repository with another's token", "owner/gated", "hf_other", 0, ErrGated, []string{"licence", "lacks the right"}},
		{"a revision that does not exist", "owner/model@v9", "", 0, ErrNotFound, []string{"hf:owner/model@v9", "branch, tag or commit"}},
		{"a token that is not valid", "owner/model", "hf_old", 401, ErrUnauthorized, []string{"HF_TOKEN", "not valid"}},
		{"no token where one is wanted", "owner/model", "", 401, ErrUnauthorized, []string{"set HF_TOKEN"}},
		{"a hub that stays out of order", "owner/model", "", 503, ErrUnavailable, []string{"503", "gave up after try 5", "HF_ENDPOINT"}},
		{"a hub that is not one", "owner/model", "", 404, ErrNotFound, []string{"404"}},
		{"a hub that refuses the request", "owner/model", "", 400, nil, []string{"400"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer server.Heal()
			if c.status != 0 {
				server.Fail(hubtest.Failure{Status: c.status})
			}
			cl := client(t, server)
			cl.Token = c.token
			_, _, err := cl.Fetch(t.Context(), ref(t, c.ref), nil)
			if err == nil || (c.want != nil && !errors.Is(err, c.want)) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("got %q, want it to say %q", err, s)
				}
			}
			if c.token != "" && strings.Contains(err.Error(), c.token) {
				t.Errorf("the token is in %q", err)
			}
			if left, _ := filepath.Glob(filepath.Join(cl.CacheDir, "*")); len(left) > 0 {
				t.Errorf("left in the cache: %v", left)
			}
		})
	}
	if !errors.Is(ErrGated, ErrUnauthorized) {
		t.Error("gated is not unauthorized")
	}
}

func TestWithoutTheHubTheCacheWillDoIfItIsComplete(t *testing.T) {
	files := model()
	server := hubtest.New(t, map[string]hubtest.Repo{"owner/model": {Files: files}})
	c := client(t, server)
	r := ref(t, "owner/model")
	offline := *c
	offline.Offline = true
	fails := func(name string, says ...string) {
		t.Helper()
		_, _, err := offline.Fetch(t.Context(), r, nil)
		if !errors.Is(err, ErrOffline) {
			t.Fatalf("%s: got %v, want ErrOffline", name, err)
		}
		for _, s := range append(says, "HF_HUB_OFFLINE", "hf download owner/model") {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: got %q, want it to say %q", name, err, s)
			}
		}
	}
	fails("an empty cache", "nothing of hf:owner/model")

	dir, commit, err := c.Fetch(t.Context(), r, ModelFiles)
	if err != nil {
		t.Fatal(err)
	}
	server.Forget()
	if got, at, err := offline.Fetch(t.Context(), r, ModelFiles); err != nil || got != dir || at != commit {
		t.Error(got, at, err)
	}
	if got := server.Requests(""); len(got) > 0 {
		t.Errorf("offline, but asked for %v", got)
	}
	fails("a cache with some of the files", "lacks 2 of 7 files")

	// A hub that is out of order: one try, then the cache.
	server.Fail(hubtest.Failure{Status: 502})
	if got, at, err := c.Fetch(t.Context(), r, ModelFiles); err != nil || got != dir || at != commit {
		t.Error(got, at, err)
	}
	if got := server.Requests(""); len(got) != 1 {
		t.Errorf("asked %d times", len(got))
	}
	if _, _, err := c.Fetch(t.Context(), r, nil); !errors.Is(err, ErrUnavailable) {
		t.Errorf("with files missing: %v", err)
	}
	// A hub that says no is not one that is out of order.
	server.Heal()
	server.Fail(hubtest.Failure{Status: 401})
	if _, _, err := c.Fetch(t.Context(), r, ModelFiles); !errors.Is(err, ErrUnauthorized) || !strings.Contains(err.Error(), "HF_HUB_OFFLINE=1") {
		t.Errorf("got %v", err)
	}

	// A blob that has gone, or been cut, is noticed.
	blob, err := filepath.EvalSymlinks(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(blob, 5); err != nil {
		t.Fatal(err)
	}
	if _, _, err := offline.Fetch(t.Context(), r, ModelFiles); !errors.Is(err, ErrOffline) || !strings.Contains(err.Error(), "model.safetensors") {
		t.Errorf("got %v", err)
	}
	server.Heal()
	if _, _, err := c.Fetch(t.Context(), r, ModelFiles); err != nil || contents(t, dir)["model.safetensors"] != string(files["model.safetensors"].Data) {
		t.Error("the blob was not repaired", err)
	}
	if err := os.Remove(blob); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Fetch(t.Context(), r, ModelFiles); err != nil || contents(t, dir)["model.safetensors"] != string(files["model.safetensors"].Data) {
		t.Error("the blob was not brought back", err)
	}

	// A cache with no record of what the commit holds, as older libraries leave it.
	if err := os.RemoveAll(filepath.Join(c.CacheDir, "models--owner--model", "trees")); err != nil {
		t.Fatal(err)
	}
	if got, _, err := offline.Fetch(t.Context(), r, ModelFiles); err != nil || got != dir {
		t.Error(got, err)
	}
	if _, _, err := offline.Fetch(t.Context(), r, func(f string) bool { return f == "other" }); !errors.Is(err, ErrOffline) {
		t.Errorf("got %v", err)
	}
}

func TestFetchRefusesWhatLeadsOutOfTheCache(t *testing.T) {
	commit := strings.Repeat("c", 40)
	list := func(name string) string { return `{"sha":"` + commit + `","siblings":[{"rfilename":"` + name + `"}]}` }
	files := model()
	for name, listing := range map[string]string{
		"a name that climbs":            list("../../x.json"),
		"a name that climbs inside":     list("a/../../x.json"),
		"an absolute name":              list("/etc/x.json"),
		"a name of Windows that climbs": list(`..\\x.json`),
		"a drive of Windows":            list(`C:x.json`),
		"an empty name":                 list(""),
		"a dot":                         list("."),
		"an empty element":              list("a//x.json"),
		"a NUL":                         list(`a\u0000.json`),
		"a line break":                  list(`a\n.json`),
		"a name twice":                  `{"sha":"` + commit + `","siblings":[{"rfilename":"a"},{"rfilename":"a"}]}`,
		"a negative size":               `{"sha":"` + commit + `","siblings":[{"rfilename":"a","size":-7}]}`,
		"a commit that climbs":          `{"sha":"../../x","siblings":[{"rfilename":"a"}]}`,
		"no commit":                     `{"siblings":[{"rfilename":"a"}]}`,
		"a web page":                    `<!DOCTYPE html>`,
		"a list":                        `[]`,
		"a file that is also a folder":  `{"sha":"` + commit + `","siblings":[{"rfilename":"config.json"},{"rfilename":"config.json/x"}]}`,
		"deep JSON":                     strings.Repeat("[", 100_000),
	} {
		t.Run(name, func(t *testing.T) {
			server := hubtest.New(t, map[string]hubtest.Repo{"owner/model": {Files: files, Listing: listing, Refs: map[string]string{"main": commit}}})
			c := client(t, server)
			root := c.CacheDir
			c.CacheDir = filepath.Join(root, "a", "b", "cache")
			if dir, _, err := c.Fetch(t.Context(), ref(t, "owner/model"), nil); err == nil {
				t.Errorf("fetched to %s", dir)
			}
			_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() && !strings.HasPrefix(path, filepath.Join(c.CacheDir, "models--owner--model")) && !strings.HasPrefix(path, filepath.Join(c.CacheDir, ".locks")) {
					t.Errorf("wrote %s", path)
				}
				return err
			})
		})
	}
	c := &Client{CacheDir: t.TempDir(), Offline: true}
	for _, r := range []Ref{{}, {Owner: "..", Name: "x"}, {Owner: "a", Name: "../b"}, {Owner: "a", Name: "b", Revision: "../../x"}, {Owner: "a/b", Name: "c"}} {
		if _, _, err := c.Fetch(t.Context(), r, nil); !invalid.Is(err) {
			t.Errorf("%+v: %v", r, err)
		}
	}
	if _, _, err := new(Client).Fetch(t.Context(), ref(t, "a/b"), nil); err == nil || !strings.Contains(err.Error(), "HF_HOME") {
		t.Errorf("no cache folder: %v", err)
	}
	if _, _, err := (&Client{CacheDir: t.TempDir(), Endpoint: "huggingface.co"}).Fetch(t.Context(), ref(t, "a/b"), nil); err == nil || !strings.Contains(err.Error(), "HF_ENDPOINT") {
		t.Errorf("an endpoint that is no address: %v", err)
	}
}

func TestProgressIsToldInOrderAndToTheEnd(t *testing.T) {
	files := model()
	server := hubtest.New(t, map[string]hubtest.Repo{"owner/model": {Files: files}})
	c := client(t, server)
	var mu sync.Mutex
	busy := false
	last := map[string]int64{}
	c.Progress = func(file string, done, total int64) {
		mu.Lock()
		if busy {
			t.Error("two calls at once")
		}
		busy = true
		mu.Unlock()
		if size := int64(len(files[file].Data)); total != size || done < last[file] || done > total {
			t.Errorf("%s: %d of %d after %d, it has %d", file, done, total, last[file], size)
		}
		last[file] = done
		mu.Lock()
		busy = false
		mu.Unlock()
	}
	for range 2 { // the second finds everything in the cache, and says so too
		clear(last)
		if _, _, err := c.Fetch(t.Context(), ref(t, "owner/model"), nil); err != nil {
			t.Fatal(err)
		}
		for name, f := range files {
			if done, told := last[name]; !told || done != int64(len(f.Data)) {
				t.Errorf("%s: the last word was %d", name, done)
			}
		}
	}
}

func TestCancelEndsAFetch(t *testing.T) {
	server := hubtest.New(t, map[string]hubtest.Repo{"owner/model": {Files: model()}})
	for name, f := range map[string]hubtest.Failure{
		"while it downloads": {Hang: true}, "while it waits to try again": {Status: 503, Header: map[string][]string{"Retry-After": {"500"}}},
	} {
		t.Run(name, func(t *testing.T) {
			server.Forget()
			server.Heal()
			server.Fail(f)
			c := client(t, server)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c.Progress = func(string, int64, int64) { cancel() }
			c.sleep = func(ctx context.Context, d time.Duration) error {
				cancel()
				<-ctx.Done()
				return ctx.Err()
			}
			_, _, err := c.Fetch(ctx, ref(t, "owner/model"), func(f string) bool { return f == "model.safetensors" })
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
	}
}
