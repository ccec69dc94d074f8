package hub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gofrs/flock"

	"lorikeet/inference/hub/hubtest"
)

func weights(file string) bool { return file == "model.safetensors" }

// small is not large: it is checked by git's object id.
func small(file string) bool { return file == "tokenizer.json" }

func TestADownloadSurvives(t *testing.T) {
	files := model()
	size := len(files["model.safetensors"].Data)
	sum := fmt.Sprintf("%x", sha256.Sum256(files["model.safetensors"].Data))
	for _, c := range []struct {
		name   string
		want   func(string) bool
		fail   []hubtest.Failure
		ranges []string // of the GETs that bring the bytes
	}{
		{"a connection that is cut", weights, []hubtest.Failure{{Path: sum, Cut: 1000, Times: 1}}, []string{"", "bytes=1000-"}},
		{"a connection that is cut more often than it would be tried without progress", weights,
			[]hubtest.Failure{{Path: sum, Cut: 100, Times: 7}},
			[]string{"", "bytes=100-", "bytes=200-", "bytes=300-", "bytes=400-", "bytes=500-", "bytes=600-", "bytes=700-"}},
		{"a connection that is cut before the first byte", weights, []hubtest.Failure{{Path: sum, Cut: 0, Times: 4}}, []string{"", "", "", "", ""}},
		{"a connection that falls silent", weights, []hubtest.Failure{{Path: sum, Hang: true, Times: 1}}, []string{"", fmt.Sprintf("bytes=%d-", size/2)}},
		{"a server that knows no ranges", weights, []hubtest.Failure{{Path: sum, Cut: 1000, Times: 1}, {Path: sum, NoRange: true}}, []string{"", "bytes=1000-"}},
		{"a server that refuses the range", weights, []hubtest.Failure{{Path: sum, Cut: 1000, Times: 1}, {Path: sum, Status: 416, Times: 1}}, []string{"", "bytes=1000-", ""}},
		{"a server that answers another range", weights,
			[]hubtest.Failure{{Path: sum, Cut: 1000, Times: 1}, {Path: sum, Status: 206, Header: http.Header{"Content-Range": {"bytes 0-9/10"}}, Times: 1}},
			[]string{"", "bytes=1000-", ""}},
		{"other bytes, once", weights, []hubtest.Failure{{Path: sum, Corrupt: true, Times: 1}}, []string{"", ""}},
		{"other bytes of a small file, once", small, []hubtest.Failure{{Path: "tokenizer.json", Corrupt: true, Times: 1}}, []string{"", ""}},
		{"more bytes than there are, once", weights, []hubtest.Failure{{Path: sum, Longer: true, Times: 1}}, []string{"", ""}},
		{"a storage whose signed address has run out", weights, []hubtest.Failure{{Path: sum, Status: 403, Times: 1}}, []string{"", ""}},
		{"a storage that is busy", weights, []hubtest.Failure{{Path: sum, Status: 503, Times: 2}}, []string{"", "", ""}},
		{"a list of files that fails", weights, []hubtest.Failure{{Path: "/api/models/owner/model", Status: 500, Times: 4}}, []string{""}},
		{"a look at the file that fails", weights, []hubtest.Failure{{Path: "/resolve/", Method: "HEAD", Status: 504, Times: 4}}, []string{""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := hubtest.New(t, map[string]hubtest.Repo{"owner/model": {Files: files}})
			cl := client(t, server)
			for _, f := range c.fail {
				server.Fail(f)
				if f.Hang {
					cl.Stall = 2 * time.Second
				}
			}
			dir, _, err := cl.Fetch(t.Context(), ref(t, "owner/model"), c.want)
			if err != nil {
				t.Fatal(err)
			}
			for name, got := range contents(t, dir) {
				if got != string(files[name].Data) {
					t.Errorf("%s is not what it was", name)
				}
			}
			var ranges []string
			for _, r := range server.Requests("") {
				if r.Method == "GET" && (r.Storage || strings.Contains(r.Path, "resolve-cache")) {
					ranges = append(ranges, r.Range)
				}
			}
			if fmt.Sprintf("%q", ranges) != fmt.Sprintf("%q", c.ranges) {
				t.Errorf("asked for %q, want %q", ranges, c.ranges)
			}
			if left, _ := filepath.Glob(filepath.Join(cl.CacheDir, "*", "blobs", "*.*")); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

func TestADownloadThatStaysWrongIsAnErrorAndLeavesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		want func(string) bool
		fail hubtest.Failure
	}{
		"other bytes of a large file":    {weights, hubtest.Failure{Corrupt: true}},
		"other bytes of a small file":    {small, hubtest.Failure{Corrupt: true}},
		"more bytes than were announced": {weights, hubtest.Failure{Longer: true}},
	} {
		t.Run(name, func(t *testing.T) {
			server := hubtest.New(t, map[string]hubtest.Repo{"owner/model": {Files: model()}})
			server.Fail(c.fail)
			cl := client(t, server)
			_, _, err := cl.Fetch(t.Context(), ref(t, "owner/model"), c.want)
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("got %v", err)
			}
			for _, pattern := range []string{"*/blobs/*", "*/refs/*", "*/snapshots/*/*"} {
				if left, _ := filepath.Glob(filepath.Join(cl.CacheDir, pattern)); len(left) > 0 {
					t.Errorf("left over: %v", left)
				}
			}
		})
	}
}

func TestADownloadGoesOnWhereTheLastOneStopped(t *testing.T) {
	data := model()["model.safetensors"].Data
	for _, c := range []struct {
		name   string
		left   []byte // in <etag>.incomplete
		ranges []string
	}{
		{"half of the file", data[:len(data)/2], []string{fmt.Sprintf("bytes=%d-", len(data)/2)}},
		{"all of the file", data, nil},
		{"nothing", nil, []string{""}},
		{"more than the file", append(data[:len(data):len(data)], "x"...), []string{""}},
		{"half of another file", []byte(strings.Repeat("x", len(data)/2)), []string{fmt.Sprintf("bytes=%d-", len(data)/2), ""}},
		{"all of another file", []byte(strings.Repeat("x", len(data))), []string{""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := hubtest.New(t, map[string]hubtest.Repo{"owner/model": {Files: model()}})
			cl := client(t, server)
			blobs := filepath.Join(cl.CacheDir, "models--owner--model", "blobs")
			if err := os.MkdirAll(blobs, 0o755); err != nil {
				t.Fatal(err)
			}
			etag := fmt.Sprintf("%x", sha256.Sum256(data))
			if err := os.WriteFile(filepath.Join(blobs, etag+".incomplete"), c.left, 0o644); err != nil {
				t.Fatal(err)
			}
			dir, _, err := cl.Fetch(t.Context(), ref(t, "owner/model"), weights)
			if err != nil || contents(t, dir)["model.safetensors"] != string(data) {
				t.Error("not the file", err)
			}
			var ranges []string
			for _, r := range server.Requests(etag) {
				if r.Method == "GET" {
					ranges = append(ranges, r.Range)
				}
			}
			if fmt.Sprintf("%q", ranges) != fmt.Sprintf("%q", c.ranges) {
				t.Errorf("asked for %q, want %q", ranges, c.ranges)
			}
		})
	}
}

func TestACancelledDownloadIsKeptForTheNext(t *testing.T) {
	server := hubtest.New(t, map[string]hubtest.Repo{"owner/model": {Files: model()}})
	server.Fail(hubtest.Failure{Hang: true, Times: 1})
	cl := client(t, server)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	size := int64(len(model()["model.safetensors"].Data))
	var kept int64
	cl.Progress = func(_ string, done, _ int64) { kept = done; cancel() }
	if _, _, err := cl.Fetch(ctx, ref(t, "owner/model"), weights); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	cl.Progress = nil
	if _, _, err := cl.Fetch(t.Context(), ref(t, "owner/model"), weights); err != nil {
		t.Fatal(err)
	}
	for _, r := range server.Requests("") {
		var from int64
		if n, _ := fmt.Sscanf(r.Range, "bytes=%d-", &from); r.Storage && r.Method == "GET" && n == 1 && from >= kept && from < size {
			return
		}
	}
	t.Errorf("the %d bytes that came were not used: %+v", kept, server.Requests(""))
}

func TestRetriesWaitAsLongAsTheServerAsks(t *testing.T) {
	for _, c := range []struct {
		name     string
		header   http.Header
		min, max time.Duration
	}{
		{"no wish", nil, 750 * time.Microsecond, 1250 * time.Microsecond},
		{"seconds", http.Header{"Retry-After": {"7"}}, 7 * time.Second, 7 * time.Second},
		{"a date", http.Header{"Retry-After": {time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)}}, 50 * time.Second, time.Minute},
		{"a date that has passed", http.Header{"Retry-After": {"Wed, 21 Oct 2015 07:28:00 GMT"}}, 750 * time.Microsecond, 1250 * time.Microsecond},
		{"the hub's rate limit", http.Header{"Ratelimit": {`"api";r=0;t=55`}}, 56 * time.Second, 56 * time.Second},
		{"nonsense", http.Header{"Retry-After": {"-1"}}, 750 * time.Microsecond, 1250 * time.Microsecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := hubtest.New(t, map[string]hubtest.Repo{"owner/model": {Files: model()}})
			server.Fail(hubtest.Failure{Path: "/api/models", Status: 429, Header: c.header, Times: 1})
			cl := client(t, server)
			var waits []time.Duration
			cl.sleep = func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }
			if _, _, err := cl.Fetch(t.Context(), ref(t, "owner/model"), weights); err != nil {
				t.Fatal(err)
			}
			if len(waits) != 1 || waits[0] < c.min || waits[0] > c.max {
				t.Errorf("waited %v, want %v to %v", waits, c.min, c.max)
			}
		})
	}
	t.Run("not for an hour", func(t *testing.T) {
		server := hubtest.New(t, map[string]hubtest.Repo{"owner/model": {Files: model()}})
		server.Fail(hubtest.Failure{Status: 429, Header: http.Header{"Retry-After": {"3600"}}})
		_, _, err := client(t, server).Fetch(t.Context(), ref(t, "owner/model"), weights)
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "1h0m0s") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("longer with each failure, to a limit", func(t *testing.T) {
		cl := &Client{}
		for failed, about := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 4: 8 * time.Second, 6: 30 * time.Second, 99: 30 * time.Second} {
			if d := cl.backoff(failed); d < about*3/4 || d > about*5/4 {
				t.Errorf("after %d failures %v", failed, d)
			}
		}
	})
}

func TestANetworkThatIsNotThereIsUnavailable(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	cl := &Client{Endpoint: gone.URL, CacheDir: t.TempDir(), Backoff: time.Millisecond, Attempts: 2}
	if _, _, err := cl.Fetch(t.Context(), ref(t, "owner/model"), nil); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "check the network") {
		t.Errorf("got %v", err)
	}
}

// Answers that no hub gives, but a server under someone else's control may.
func TestAnswersThatAreRefused(t *testing.T) {
	commit := strings.Repeat("c", 40)
	for name, c := range map[string]struct {
		header http.Header
		status int
		says   string
	}{
		"an etag that climbs":            {http.Header{"Etag": {`"../../x"`}}, 200, "etag"},
		"an etag that is a dot file":     {http.Header{"Etag": {`".."`}}, 200, "etag"},
		"a linked etag that climbs":      {http.Header{"Etag": {`"a"`}, "X-Linked-Etag": {`"a/b"`}}, 200, "etag"},
		"no etag":                        {http.Header{}, 200, "etag"},
		"an etag without end":            {http.Header{"Etag": {strings.Repeat("a", 300)}}, 200, "etag"},
		"another commit":                 {http.Header{"Etag": {`"a"`}, "X-Repo-Commit": {strings.Repeat("d", 40)}}, 200, "asked for commit"},
		"a redirect to a file":           {http.Header{"Location": {"file:///etc/passwd"}}, 302, "not an address to follow"},
		"a redirect to nowhere":          {http.Header{"Location": {"http://"}}, 302, "not an address to follow"},
		"a redirect that is no address":  {http.Header{"Location": {"http://[::1"}}, 302, "Location"},
		"a redirect to itself":           {http.Header{"Location": {"?again"}}, 307, "more than 10 redirects"},
		"content in an encoding":         {http.Header{"Etag": {`"a"`}, "Content-Encoding": {"br"}}, 200, "encoded"},
		"a file that is not there":       {http.Header{"X-Error-Code": {"EntryNotFound"}}, 404, "not found"},
		"a redirect with no place to go": {http.Header{}, 302, "etag"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, "/api/") {
					fmt.Fprintf(w, `{"sha":"%s","siblings":[{"rfilename":"a.json"}]}`, commit)
					return
				}
				maps.Copy(w.Header(), c.header)
				w.WriteHeader(c.status)
			}))
			defer server.Close()
			root := t.TempDir()
			cl := &Client{Endpoint: server.URL, CacheDir: filepath.Join(root, "a", "cache"), Backoff: time.Millisecond}
			if _, _, err := cl.Fetch(t.Context(), ref(t, "owner/model"), nil); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want it to say %q", err, c.says)
			}
		})
	}
}

func TestATokenDoesNotFollowARedirectToPlainHTTP(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	secure := httptest.NewUnstartedServer(http.RedirectHandler(plain.URL, http.StatusFound))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake that fails
	secure.StartTLS()
	defer secure.Close()
	cl := &Client{Endpoint: secure.URL, CacheDir: t.TempDir(), HTTP: secure.Client()}
	if _, _, err := cl.Fetch(t.Context(), ref(t, "owner/model"), nil); err == nil || !strings.Contains(err.Error(), "not an address to follow") {
		t.Errorf("got %v", err)
	}
	// And a certificate that is not trusted is not tried again.
	cl = &Client{Endpoint: secure.URL, CacheDir: t.TempDir(), sleep: func(context.Context, time.Duration) error { t.Error("tried again"); return nil }}
	if _, _, err := cl.Fetch(t.Context(), ref(t, "owner/model"), nil); err == nil || errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestALockThatIsHeldIsWaitedFor(t *testing.T) {
	files := model()
	server := hubtest.New(t, map[string]hubtest.Repo{"owner/model": {Files: files}})
	cl := client(t, server)
	etag := fmt.Sprintf("%x", sha256.Sum256(files["model.safetensors"].Data))
	path := filepath.Join(cl.CacheDir, ".locks", "models--owner--model", etag+".lock")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	lock := flock.New(path)
	if ok, err := lock.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, _, err := cl.Fetch(ctx, ref(t, "owner/model"), weights); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	done := make(chan error, 1)
	go func() {
		_, _, err := cl.Fetch(t.Context(), ref(t, "owner/model"), weights)
		done <- err
	}()
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// One cache, several processes: each file is downloaded once and everyone gets it.
// This test's own binary is the other processes.
func TestSeveralProcessesFetchTheSame(t *testing.T) {
	if endpoint := os.Getenv("HUB_TEST_ENDPOINT"); endpoint != "" {
		cl := &Client{Endpoint: endpoint, CacheDir: os.Getenv("HUB_TEST_CACHE"), Backoff: time.Millisecond, Stall: 20 * time.Second}
		if _, _, err := cl.Fetch(t.Context(), ref(t, "owner/model"), nil); err != nil {
			t.Fatal(err)
		}
		return
	}
	files := fstest.MapFS{}
	for i := range 6 {
		files[fmt.Sprintf("model-%d.safetensors", i)] = &fstest.MapFile{Data: []byte(strings.Repeat(fmt.Sprint(i), 300_000))}
		files[fmt.Sprintf("config-%d.json", i)] = &fstest.MapFile{Data: []byte(fmt.Sprint(i))}
	}
	server := hubtest.New(t, map[string]hubtest.Repo{"owner/model": {Files: files}})
	cache := t.TempDir()
	var all []*exec.Cmd
	for range 4 {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestSeveralProcessesFetchTheSame$")
		cmd.Env = append(os.Environ(), "HUB_TEST_ENDPOINT="+server.URL, "HUB_TEST_CACHE="+cache)
		cmd.Stdout, cmd.Stderr = new(bytes.Buffer), os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, cmd)
	}
	for _, cmd := range all {
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, cmd.Stdout)
		}
	}
	commit, _ := hubtest.Commit(files)
	if got := contents(t, filepath.Join(cache, "models--owner--model", "snapshots", commit)); !maps.Equal(got, want(files)) {
		t.Error("the snapshot is not complete")
	}
	times := map[string]int{}
	for _, r := range server.Requests("") {
		if r.Method == "GET" && (r.Storage || strings.Contains(r.Path, "resolve-cache")) {
			times[r.Path]++
		}
	}
	for path, n := range times {
		if n != 1 {
			t.Errorf("%s was downloaded %d times", path, n)
		}
	}
	if len(times) != len(files) {
		t.Errorf("%d files were downloaded", len(times))
	}
}
