// Package hub fetches models and datasets from the Hugging Face Hub into the
// cache that the Python library huggingface_hub keeps, so that either finds what
// the other has fetched.
//
//	client := hub.FromEnv(os.Getenv)
//	ref, err := hub.Parse("hf:google-bert/bert-base-uncased@main")
//	dir, commit, err := client.Fetch(ctx, ref, hub.ModelFiles)
//
// # The cache
//
//	<cache>/models--owner--name/refs/main              the commit that main was
//	<cache>/models--owner--name/snapshots/<commit>/f   a link to ../../blobs/<etag>
//	<cache>/models--owner--name/blobs/<etag>           the bytes
//	<cache>/models--owner--name/blobs/<etag>.incomplete  as far as it came
//	<cache>/models--owner--name/trees/<commit>.json    what the commit holds
//	<cache>/.locks/models--owner--name/<etag>.lock     held (flock) while fetching
//
// The layout is described at
// https://huggingface.co/docs/huggingface_hub/guides/manage-cache.
//
// # Why not a library
//
// github.com/gomlx/go-huggingface v0.4.1 was read first. It keeps the same
// layout, but starts an interrupted file again from its beginning, checks neither
// length nor hash, loses X-Linked-Etag by following the redirect that carries it
// (so that large files land under the storage's etag, not the hub's), gives up on
// the first 429 or 503, removes lock files that others wait on, and knows neither
// HF_HOME nor offline. What is here is that, and nothing else of it.
//
// # What is trusted
//
// Nothing that a server says about names: files, etags and commits become paths
// only after they are known to stay in their folder. The token goes to the
// endpoint's own origin and to no other. Content is checked against its length,
// and against its SHA-256 (large files) or git object id (small ones).
package hub

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Errors that callers act on. The text of the error that wraps one says what a
// person can do about it.
var (
	// ErrNotFound: no such repository, revision or file, or one that only others may see.
	ErrNotFound = errors.New("not found on the hub")
	// ErrUnauthorized: a token is wanted, or the one given is not accepted.
	ErrUnauthorized = errors.New("not allowed by the hub")
	// ErrGated: the licence has to be accepted first. It is an ErrUnauthorized too.
	ErrGated error = gated{}
	// ErrOffline: not all of it is in the cache, and the network may not be used.
	ErrOffline = errors.New("offline, and not in the cache")
	// ErrUnavailable: the hub could not be reached, or kept failing. Trying later may help.
	ErrUnavailable = errors.New("the hub is not available")
	// ErrCorrupt: what arrived is not what the hub announced, twice.
	ErrCorrupt = errors.New("the download is corrupt")
)

type gated struct{}

func (gated) Error() string        { return "gated on the hub" }
func (gated) Is(target error) bool { return target == ErrUnauthorized }

// DefaultEndpoint is the public hub.
const DefaultEndpoint = "https://huggingface.co"

// Client fetches repositories. Only CacheDir has to be set; FromEnv sets what the
// environment says. It may be used by several goroutines, and several processes
// may share one cache. Its fields are not changed once it is in use.
type Client struct {
	Endpoint string // default DefaultEndpoint; a path prefix (a mirror's) is allowed
	Token    string // sent as a bearer token to the endpoint's origin only
	CacheDir string // the folder of models--… and datasets--…
	Offline  bool   // use the cache and no network

	// Progress is told how many bytes of a file are here, about ten times a second
	// and when it is complete; total is -1 where the hub does not say. It is called
	// from one goroutine at a time.
	Progress func(file string, done, total int64)
	HTTP     *http.Client // for its transport; default http.DefaultTransport. A Timeout would bound whole files
	Log      *slog.Logger // told of retries and of answers from the cache; default: nobody

	Attempts int           // tries without progress before giving up; default 5
	Backoff  time.Duration // wait before the second try, doubled up to 30 s; default 1 s
	Stall    time.Duration // silence that ends a connection; default 60 s
	Parallel int           // files fetched at once; default 4

	sleep func(context.Context, time.Duration) error // in tests
}

// FromEnv makes a Client of the variables that huggingface_hub reads: HF_ENDPOINT,
// HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_TOKEN_PATH, HF_HUB_OFFLINE (or
// TRANSFORMERS_OFFLINE), HF_HUB_DISABLE_IMPLICIT_TOKEN, XDG_CACHE_HOME, HOME.
// With none of them set the cache is ~/.cache/huggingface/hub, and the token what
// `hf auth login` left in ~/.cache/huggingface/token.
func FromEnv(getenv func(string) string) Client {
	home := folder(getenv, "HF_HOME")
	if home == "" {
		base := folder(getenv, "XDG_CACHE_HOME")
		if base == "" {
			base = filepath.Join(userHome(getenv), ".cache")
		}
		home = filepath.Join(base, "huggingface")
	}
	c := Client{
		Endpoint: strings.TrimRight(strings.TrimSpace(getenv("HF_ENDPOINT")), "/"),
		CacheDir: folder(getenv, "HF_HUB_CACHE"),
		Offline:  yes(getenv("HF_HUB_OFFLINE")) || yes(getenv("TRANSFORMERS_OFFLINE")),
	}
	if c.CacheDir == "" {
		c.CacheDir = folder(getenv, "HUGGINGFACE_HUB_CACHE") // its old name
	}
	if c.CacheDir == "" {
		c.CacheDir = filepath.Join(home, "hub")
	}
	if !yes(getenv("HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
		c.Token = token(getenv, home)
	}
	return c
}

func token(getenv func(string) string, home string) string {
	for _, name := range []string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"} {
		if t := strings.TrimSpace(getenv(name)); t != "" {
			return t
		}
	}
	path := folder(getenv, "HF_TOKEN_PATH")
	if path == "" {
		path = filepath.Join(home, "token")
	}
	b, err := os.ReadFile(path) // #nosec G304 -- of the cache; names were checked
	if err != nil {
		return "" // most people have none, and a 401 says what to do
	}
	return strings.TrimSpace(string(b))
}

// folder is a path from the environment, with ~ and $VARIABLES as the shell has them.
func folder(getenv func(string) string, name string) string {
	p := os.Expand(getenv(name), getenv)
	if p == "~" || strings.HasPrefix(p, "~/") {
		p = filepath.Join(userHome(getenv), p[1:])
	}
	return p
}

func userHome(getenv func(string) string) string {
	if h := getenv("HOME"); h != "" {
		return h
	}
	h, err := os.UserHomeDir()
	if err != nil {
		return "."
	}
	return h
}

// yes reads a switch as huggingface_hub does.
func yes(s string) bool {
	switch strings.ToUpper(strings.TrimSpace(s)) {
	case "1", "ON", "YES", "TRUE":
		return true
	}
	return false
}

// ModelFiles wants what is needed to serve a model: configurations, tokenizers and
// safetensors in the root of the repository. Pickled and other weights are left.
func ModelFiles(file string) bool {
	if strings.Contains(file, "/") {
		return false
	}
	for _, suffix := range []string{".json", ".safetensors", ".txt", ".model", ".spm", ".jinja"} {
		if strings.HasSuffix(file, suffix) {
			return true
		}
	}
	return false
}

// log never fails.
func (c *Client) log() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}

// wait pauses for d, or until ctx is done.
func (c *Client) wait(ctx context.Context, d time.Duration) error {
	if c.sleep != nil {
		return c.sleep(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
