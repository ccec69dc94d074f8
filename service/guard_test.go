package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
	"lorikeet/inference/hub"
	"lorikeet/routes/access"
)

// run runs a command line to its end.
func run(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	var out bytes.Buffer
	cmd := command()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(io.Discard)
	err = cmd.ExecuteContext(ctx)
	return out.String(), err
}

// adminKey makes an administrator's key; args say where, and perhaps what it is called.
func adminKey(t *testing.T, args ...string) (token string) {
	t.Helper()
	token, err := run(t, append([]string{"keys", "create", "--scope", "admin", "--log-level", "error"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(token)
}

func TestWhereKeysAreNeeded(t *testing.T) {
	for addr, here := range map[string]bool{
		"127.0.0.1:8080": true, "127.0.0.9:1": true, "[::1]:8080": true, "localhost:8080": true,
		"0.0.0.0:8080": false, ":8080": false, "[::]:8080": false, "10.0.0.1:80": false, "localhost.example:80": false, "example.com:80": false, "nonsense": false,
	} {
		for _, c := range []struct {
			keys, insecure, want bool
		}{{false, false, !here}, {true, false, true}, {false, true, false}} {
			if got := (&config{addr: addr, keys: c.keys, insecure: c.insecure}).needsKeys(); got != c.want {
				t.Errorf("%s with --keys=%v --insecure=%v needs keys: %v", addr, c.keys, c.insecure, got)
			}
		}
	}
}

func TestStartsThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"the whole network, no key":  {[]string{"--addr", "0.0.0.0:0"}, []string{"service keys create", "--scope admin", "--insecure", "--addr 127.0.0.1"}},
		"every address, no key":      {[]string{"--addr", ":0"}, []string{"service keys create"}},
		"keys wanted, no key":        {[]string{"--addr", "127.0.0.1:0", "--keys"}, []string{"--keys is given", "service keys create"}},
		"keys and no keys":           {[]string{"--keys", "--insecure"}, []string{"contradict"}},
		"half a certificate":         {[]string{"--tls-cert", "x"}, []string{"--tls-key"}},
		"a certificate not there":    {[]string{"--addr", "127.0.0.1:0", "--tls-cert", "x", "--tls-key", "y"}, []string{"--tls-cert", "no such file"}},
		"any origin":                 {[]string{"--cors-origin", "*"}, []string{"not an origin", "name the pages"}},
		"an origin with a path":      {[]string{"--cors-origin", "https://a.example/"}, []string{"not an origin"}},
		"a negative rate":            {[]string{"--rate", "-1"}, []string{"--rate"}},
		"a rate that is no number":   {[]string{"--rate", "NaN"}, []string{"--rate"}},
		"a negative number of jobs":  {[]string{"--jobs-per-tenant", "-1"}, []string{"--jobs-per-tenant"}},
		"a rate for no keys":         {[]string{"--addr", "127.0.0.1:0", "--rate", "5"}, []string{"--rate", "add --keys"}},
		"a number of jobs, no keys":  {[]string{"--addr", "127.0.0.1:0", "--jobs-per-tenant", "5"}, []string{"--jobs-per-tenant", "add --keys"}},
		"jobs kept for a minute":     {[]string{"--keep-jobs", "1m"}, []string{"--keep-jobs", "at least 1h"}},
		"jobs kept for less than 0":  {[]string{"--keep-jobs", "-1h"}, []string{"--keep-jobs", "at least 1h"}},
		"a key of a scope made up":   {[]string{"keys", "create", "--scope", "root"}, []string{"scope"}},
		"a key of no scope":          {[]string{"keys", "create"}, []string{"scope"}},
		"a key that is not there":    {[]string{"keys", "revoke", "key_aaaaaaaaaaaaaaaaaaaa"}, []string{"no such key"}},
		"a key whose time has ended": {[]string{"keys", "create", "--scope", "tune", "--expires", "-1h"}, []string{"expires_at"}},
	} {
		_, err := run(t, append(c.args, "--data", t.TempDir(), "--log-level", "error", "--backend", "go")...)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v, want an error that says %q", name, err, want)
			}
		}
	}
}

func TestTheCommandsOfKeys(t *testing.T) {
	data := t.TempDir()
	token, err := run(t, "keys", "create", "--name", "ci", "--scope", "tune", "--tenant", "acme", "--expires", "1h", "--data", data, "--log-level", "error")
	if err != nil {
		t.Fatal(err)
	}
	id, _, err := access.Parse(strings.TrimSuffix(token, "\n"))
	if err != nil {
		t.Fatalf("printed %q: %v", token, err)
	}
	c := newConfig()
	c.flags(pflag.NewFlagSet("service", pflag.ContinueOnError))
	c.data, c.addr = data, "0.0.0.0:8080"
	dir, err := store.OpenDir(c.storeFolder())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()
	guard, err := c.access(t.Context(), dir)
	if err != nil || !guard.Required || guard.Local {
		t.Fatalf("with a key: %+v, %v", guard, err)
	}
	if k, err := guard.Keys.Check(t.Context(), strings.TrimSpace(token)); err != nil || k.Tenant != "acme" || k.Scope != access.Tune || k.ExpiresAt == nil {
		t.Errorf("%+v, %v", k, err)
	}
	list, err := run(t, "keys", "list", "--data", data)
	if err != nil || !strings.Contains(list, id) || !strings.Contains(list, "acme") || strings.Contains(list, strings.Split(token, "_")[2][:20]) {
		t.Errorf("%s, %v", list, err)
	}
	if _, err := run(t, "keys", "revoke", id, "--data", data, "--log-level", "error"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.access(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "no API key") {
		t.Errorf("with a revoked key: %v", err)
	}
}

func TestFoldersKeepToThemselves(t *testing.T) {
	base := t.TempDir()
	write := func(path string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("{}"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, from string) {
		t.Helper()
		if err := os.Symlink(to, from); err != nil {
			t.Skip("no symbolic links here:", err)
		}
	}
	allowed := filepath.Join(base, "allowed")
	write(filepath.Join(allowed, "good", "adapter_config.json"))
	write(filepath.Join(base, "secret", "adapter_config.json"))
	write(filepath.Join(base, "allowed-not", "adapter_config.json")) // begins with the same letters
	link(filepath.Join(base, "secret"), filepath.Join(allowed, "absolute"))
	link("../secret", filepath.Join(allowed, "relative"))
	link("good", filepath.Join(allowed, "inside"))
	link(filepath.Join(base, "secret", "adapter_config.json"), filepath.Join(allowed, "adapter_config.json"))
	if err := syscall.Mkfifo(filepath.Join(allowed, "adapter_model.safetensors"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := &folders{allowed: []string{allowed}}
	for source, opens := range map[string]bool{
		"file:good": true, "file:" + allowed + "/good": true, "file:inside": true, "file:./good/../good": true,
		"file:absolute": false, "file:relative": false, "file:../secret": false, "file:good/../../secret": false, "file:" + base + "/secret": false,
		"file:" + allowed + "/../secret": false, "file:" + allowed + "-not": false, "file:/etc": false, "file:": false, "file:nothing": false, "file:good/adapter_config.json": false,
		"http://127.0.0.1/": false, "good": false, "hf:../x": false, "ftp:x": false,
	} {
		dir, err := f.Open(t.Context(), source)
		if opens != (err == nil) || err != nil && !invalid.Is(err) {
			t.Errorf("%s: %v", source, err)
		}
		if err != nil {
			continue
		}
		if _, err := fs.ReadFile(dir, "adapter_config.json"); err != nil {
			t.Errorf("%s: %v", source, err)
		}
		_ = dir.(io.Closer).Close()
	}
	dir, err := f.Open(t.Context(), "file:.")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.(io.Closer).Close() }()
	for _, name := range []string{"adapter_config.json", "adapter_model.safetensors"} { // a link out; a pipe
		if _, err := dir.Open(name); !invalid.Is(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (&folders{}).Open(t.Context(), "file:good"); !invalid.Is(err) {
		t.Errorf("with no folder allowed: %v", err)
	}
}

func TestDownloadsAreGuarded(t *testing.T) {
	t.Setenv("HF_ENDPOINT", "")
	inside := httptest.NewServer(http.NotFoundHandler())
	defer inside.Close()
	s, err := newShelf(&config{}, (&config{logLevel: "error"}).logger())
	if err != nil {
		t.Fatal(err)
	}
	// The endpoint is the public hub; what is on loopback is not of its kind.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, inside.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := s.hub.HTTP.Do(req); !errors.Is(err, hub.ErrPrivate) {
		if err == nil {
			_ = res.Body.Close()
		}
		t.Errorf("loopback is dialled: %v", fmt.Sprint(err))
	}
}
