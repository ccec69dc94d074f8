package device

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fake is a machine with nothing on it: an empty cache and home, and a PATH that holds
// only what the test puts there.
type fake struct {
	opt   Options
	bin   string // the folder on PATH
	calls string // a file with a line for each call of pip but "pip --version"
	log   *bytes.Buffer
}

var errOffline = errors.New("no route to the release")

func newFake(t *testing.T) *fake {
	t.Helper()
	dir := t.TempDir()
	f := &fake{bin: filepath.Join(dir, "bin"), calls: filepath.Join(dir, "calls"), log: new(bytes.Buffer)}
	if err := os.MkdirAll(f.bin, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", f.bin)
	t.Setenv("HOME", filepath.Join(dir, "home"))
	from := pinned
	from.release = func(string, string) (string, error) { return "", errOffline }
	f.opt = Options{
		CacheDir: filepath.Join(dir, "cache"),
		Log:      slog.New(slog.NewTextHandler(f.log, nil)),
		from:     &from,
	}
	return f
}

// options are f's, filled in as Open does.
func (f *fake) options(t *testing.T) Options {
	t.Helper()
	opt, err := f.opt.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return opt
}

// needsShell skips a test whose fake pip is a shell script for our only platform with a wheel.
func needsShell(t *testing.T) {
	t.Helper()
	if err := needsLinuxAMD64(); err != nil {
		t.Skipf("the wheel: %v", err)
	}
	if !hasCgo {
		t.Skip("a build without cgo installs no plugins")
	}
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip("no /bin/sh")
	}
}

// pip puts a python3 on PATH whose pip runs the script, with $dest set to what --dest or
// --target says.
func (f *fake) pip(t *testing.T, script string) {
	t.Helper()
	text := `#!/bin/sh
PATH=/usr/bin:/bin
[ "$3" = --version ] && exit 0
echo "$@" >> '` + f.calls + `'
for a in "$@"; do
	case "$last" in --dest|--target) dest=$a; mkdir -p "$dest";; esac
	last=$a
done
` + script
	f.put(t, filepath.Join(f.bin, "python3"), text)
}

func (f *fake) put(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// wheel makes w a wheel that holds plugin and pins it; it returns the wheel's path.
func (f *fake) wheel(t *testing.T, w *wheel, plugin string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range map[string]string{"other/METADATA": "Name: other", w.member: plugin} {
		m, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	w.bytes, w.sha256 = int64(b.Len()), digest(b.String())
	w.memberBytes, w.memberSHA256 = int64(len(plugin)), digest(plugin)
	return f.put(t, filepath.Join(filepath.Dir(f.bin), w.name+".whl"), b.String())
}

func digest(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func (f *fake) called(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(f.calls)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// cache lists the files of f's cache, without the lock.
func (f *fake) cache(t *testing.T) []string {
	t.Helper()
	var files []string
	root := filepath.Join(f.opt.CacheDir, "pjrt")
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == root || d.Name() == ".lock" {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if !d.IsDir() || strings.HasPrefix(rel, ".") {
			files = append(files, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return files
}
