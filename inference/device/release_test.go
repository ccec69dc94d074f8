package device

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// tarball is a release: a plugin under its versioned name, among other things.
func tarball(t testing.TB, name, plugin string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, h := range []*tar.Header{
		{Name: "README.md", Typeflag: tar.TypeReg, Size: 2, Mode: 0o644},
		{Name: "pjrt_c_api_cpu_plugin.so", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
		{Name: name, Typeflag: tar.TypeReg, Size: int64(len(plugin)), Mode: 0o644},
	} {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(plugin)[:h.Size]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// serve makes f's release come from h.
func (f *fake) serve(t *testing.T, h http.HandlerFunc) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	f.opt.from.release = func(platform, version string) (string, error) {
		return s.URL + "/" + version + "/pjrt_cpu_" + platform + ".tar.gz", nil
	}
}

func TestInstallRelease(t *testing.T) {
	f := newFake(t)
	archive := tarball(t, "../../pjrt_c_api_cpu_v0.114.0_plugin.so", notAPlugin)
	f.serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/v0.114.0/pjrt_cpu_") {
			t.Errorf("asked for %s", r.URL.Path)
		}
		_, _ = w.Write(archive)
	})
	p, err := installCPU(context.Background(), f.options(t), brisk)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(p.Path); err != nil || string(b) != notAPlugin {
		t.Errorf("installed %q, %v", b, err)
	}
	if got := f.cache(t); !slices.Equal(got, []string{"cpu-v0.114.0/pjrt_c_api_cpu_plugin.so"}) {
		t.Errorf("the cache holds %v", got)
	}
	if p.Version != "v0.114.0" {
		t.Errorf("%+v", p)
	}
}

func TestReleaseRefusals(t *testing.T) {
	archive := tarball(t, "pjrt_c_api_cpu_v0.114.0_plugin.so", notAPlugin)
	tests := []struct {
		name  string
		serve http.HandlerFunc
		want  string
	}{
		{"not found", http.NotFound, "404"},
		{"not an archive", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, "unpack"},
		{"cut short", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(archive[:len(archive)/2]) }, "unpack"},
		{"no plugin", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(tarball(t, "else.so", "12")) }, "no plugin in the archive"},
		{"broken off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000000")
			_, _ = w.Write(archive)
		}, "unexpected EOF"},
		{"silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "no answer in 1s"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFake(t)
			f.serve(t, test.serve)
			_, err := installRelease(context.Background(), f.options(t), patience{answer: time.Second, bytes: time.Second})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
			if got := f.cache(t); len(got) != 0 {
				t.Errorf("left %v", got)
			}
		})
	}
}

func TestReleaseThatNeverAnswers(t *testing.T) {
	f := newFake(t)
	release := make(chan struct{})
	defer close(release)
	f.opt.from.release = func(string, string) (string, error) {
		<-release
		return "", nil
	}
	_, err := installRelease(context.Background(), f.options(t), patience{answer: time.Millisecond})
	if !errors.Is(err, errSilent) {
		t.Errorf("%v", err)
	}
}

// What is unpacked before anything vouches for it must not hurt.
func FuzzExtract(f *testing.F) {
	archive := tarball(f, "pjrt_c_api_cpu_v0.114.0_plugin.so", notAPlugin)
	f.Add(archive, true)
	f.Add(archive[:len(archive)-9], true)
	f.Add([]byte("PK\x05\x06"+strings.Repeat("\x00", 18)), false)
	f.Fuzz(func(t *testing.T, data []byte, tarGz bool) {
		dir := t.TempDir()
		file := filepath.Join(dir, "a.zip")
		if tarGz {
			file = filepath.Join(dir, "a.tar.gz")
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = extract(file, func(name string) bool { return pluginName.MatchString(filepath.Base(name)) }, filepath.Join(dir, "plugin"))
	})
}
