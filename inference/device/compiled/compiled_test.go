package compiled_test

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"lorikeet/inference/device/compiled"
)

func open(t *testing.T, limit int64) (*compiled.Cache, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "programs")
	c, err := compiled.Open(dir, limit)
	if err != nil {
		t.Fatal(err)
	}
	return c, dir
}

func TestWhatIsPutIsThere(t *testing.T) {
	c, dir := open(t, 1<<20)
	if c.Get("a") != nil {
		t.Error("an empty cache has a program")
	}
	if err := c.Put("a", []byte("program")); err != nil {
		t.Fatal(err)
	}
	again, err := compiled.Open(dir, 1<<20) // as the next process does
	if err != nil {
		t.Fatal(err)
	}
	if got := again.Get("a"); string(got) != "program" {
		t.Errorf("holds %q", got)
	}
	if hits, misses := again.Stats(); hits != 1 || misses != 0 {
		t.Errorf("%d hits, %d misses", hits, misses)
	}
}

func TestADamagedFileIsNoProgram(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"cut short":  func(b []byte) []byte { return b[:len(b)-1] },
		"one bit":    func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"the hash":   func(b []byte) []byte { b[25] ^= 1; return b },
		"other kind": func(b []byte) []byte { b[0] ^= 1; return b },
		"empty":      func([]byte) []byte { return nil },
	} {
		c, dir := open(t, 1<<20)
		if err := c.Put("a", []byte("a program")); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "a.program")
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, damage(raw), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := c.Get("a"); got != nil {
			t.Errorf("%s: gives %q", name, got)
		}
		if _, err := os.Stat(file); !os.IsNotExist(err) {
			t.Errorf("%s: the file stays: %v", name, err)
		}
	}
}

func TestTheLongestUnusedGoesFirst(t *testing.T) {
	c, dir := open(t, 2500)
	for i, key := range []string{"a", "b", "c"} {
		if err := c.Put(key, make([]byte, 900)); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(time.Duration(i-10) * time.Minute)
		if err := os.Chtimes(filepath.Join(dir, key+".program"), at, at); err != nil {
			t.Fatal(err)
		}
		if key == "b" && c.Get("a") == nil { // used again, later than b
			t.Fatal("a is gone too early")
		}
	}
	if c.Get("b") != nil || c.Get("a") == nil || c.Get("c") == nil {
		t.Error("b was not used for the longest time, and is not the one that went")
	}
}

func TestAFolderOfEverybodyIsRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes say nothing there")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // that is what is tested
		t.Fatal(err)
	}
	if _, err := compiled.Open(dir, 1); err == nil {
		t.Error("what anyone may write would be run")
	}
}

func TestKeysTellPartsApart(t *testing.T) {
	if compiled.Key([]byte("ab"), []byte("c")) == compiled.Key([]byte("a"), []byte("bc")) {
		t.Error("ab, c and a, bc have one key")
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(compiled.Pack([]byte("program")))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, ok := compiled.Unpack(b); ok && !bytes.Equal(compiled.Pack(p), b) {
			t.Error("takes what Pack does not make")
		}
	})
}
