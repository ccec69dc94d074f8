package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lorikeet/adapters/store"
	"lorikeet/adapters/store/storetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("STORE_TEST_WRITER"); dir != "" {
		os.Exit(writer(dir))
	}
	os.Exit(m.Run())
}

func TestDir(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func() storetest.Store {
		path := filepath.Join(t.TempDir(), "store")
		return func() storetest.Store { return openDir(t, path) }
	})
}

func openDir(t testing.TB, path string) *store.Dir {
	t.Helper()
	d, err := store.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// writer is the body of a racing process: it creates the key on each line of its
// standard input and says whether it won.
func writer(dir string) int {
	d, err := store.OpenDir(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer d.Close()
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		switch err := d.Create(context.Background(), in.Text(), []byte(os.Getenv("STORE_TEST_NAME"))); {
		case err == nil:
			fmt.Println("won")
		case errors.Is(err, store.ErrExists):
			fmt.Println("lost")
		default:
			fmt.Println(err)
		}
	}
	return 0
}

func TestOfEightProcessesThatCreateOneKeyExactlyOneWins(t *testing.T) {
	const processes, rounds = 8, 100
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	type process struct {
		in  io.WriteCloser
		out *bufio.Scanner
	}
	var all []process
	for i := range processes {
		cmd := exec.CommandContext(t.Context(), exe)
		cmd.Env = append(os.Environ(), "STORE_TEST_WRITER="+dir, fmt.Sprintf("STORE_TEST_NAME=%d", i))
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
		all = append(all, process{in, bufio.NewScanner(out)})
	}
	d := openDir(t, dir)
	for round := range rounds {
		key := fmt.Sprintf("race/%d", round)
		for _, p := range all {
			fmt.Fprintln(p.in, key)
		}
		won := -1
		for i, p := range all {
			if !p.out.Scan() {
				t.Fatalf("process %d ended: %v", i, p.out.Err())
			}
			switch p.out.Text() {
			case "won":
				if won >= 0 {
					t.Errorf("round %d: processes %d and %d both won", round, won, i)
				}
				won = i
			case "lost":
			default:
				t.Errorf("round %d: process %d: %s", round, i, p.out.Text())
			}
		}
		if got, err := d.Get(t.Context(), key); err != nil || string(got) != fmt.Sprint(won) {
			t.Errorf("round %d: the record is of %q (%v), process %d won", round, got, err, won)
		}
	}
}

func TestABlobThatRottedIsReportedAndMendedByPuttingItAgain(t *testing.T) {
	ctx := t.Context()
	path := t.TempDir()
	d := openDir(t, path)
	digest, _, err := d.PutBlob(ctx, strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	sum := strings.TrimPrefix(digest, "sha256:")
	name := filepath.Join(path, "blobs", "sha256", sum[:2], sum)
	for what, data := range map[string]string{"flipped": "hellp", "truncated": "hell", "longer": "hello!"} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := d.VerifyBlob(ctx, digest); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := d.Fetch(ctx, digest, io.Discard); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
		if _, _, err := d.PutBlob(ctx, strings.NewReader("hello")); err != nil {
			t.Fatal(err)
		}
		if err := d.VerifyBlob(ctx, digest); err != nil {
			t.Errorf("%s: not mended: %v", what, err)
		}
	}
}

func TestARecordThatRottedIsReported(t *testing.T) {
	ctx := t.Context()
	path := t.TempDir()
	d := openDir(t, path)
	if err := d.Create(ctx, "a/b", []byte(`{"x":1}`)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "a", "b"), []byte(`{"x":2}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := d.Get(ctx, "a/b"); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("read %q, %v", data, err)
	}
}

func TestNothingOutsideTheRootIsReached(t *testing.T) {
	ctx := t.Context()
	path := t.TempDir()
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(path, "link")); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	d := openDir(t, path)
	if data, err := d.Get(ctx, "link/secret"); err == nil {
		t.Errorf("read %q", data)
	}
	if err := d.Create(ctx, "link/new", nil); err == nil {
		t.Error("wrote through a link")
	}
	if keys, err := d.List(ctx, "link/"); err == nil && len(keys) > 0 {
		t.Errorf("listed %q", keys)
	}
}

func TestOneNameCannotBeARecordAndAFolder(t *testing.T) {
	ctx := t.Context()
	d := openDir(t, t.TempDir())
	if err := d.Create(ctx, "a", nil); err != nil {
		t.Fatal(err)
	}
	if err := d.Create(ctx, "a/b", nil); !errors.Is(err, store.ErrKey) {
		t.Errorf("a/b beside a: %v", err)
	}
	if err := d.Create(ctx, "c/d", nil); err != nil {
		t.Fatal(err)
	}
	if err := d.Create(ctx, "c", nil); !errors.Is(err, store.ErrKey) {
		t.Errorf("c beside c/d: %v", err)
	}
}

func TestFilesThatAreNotOursAreNotListed(t *testing.T) {
	ctx := t.Context()
	path := t.TempDir()
	d := openDir(t, path)
	for _, name := range []string{".DS_Store", "Thumbs.db", "a b"} {
		if err := os.WriteFile(filepath.Join(path, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Create(ctx, "k", nil); err != nil {
		t.Fatal(err)
	}
	if keys, err := d.List(ctx, ""); err != nil || len(keys) != 1 {
		t.Errorf("listed %q, %v", keys, err)
	}
}

func TestALockIsHeldByOneHandleAtATime(t *testing.T) {
	ctx := t.Context()
	path := t.TempDir()
	a, b := openDir(t, path), openDir(t, path)
	unlock, err := a.Lock(ctx, "redis")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Lock(ctx, "redis"); !errors.Is(err, store.ErrLocked) {
		t.Errorf("second lock: %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	unlock, err = b.Lock(ctx, "redis")
	if err != nil {
		t.Fatal(err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
}

func TestTemporaryFilesOfTheDeadAreSweptAndThoseOfTheLivingStay(t *testing.T) {
	path := t.TempDir()
	openDir(t, path) // alive
	dead := filepath.Join(path, "tmp", "process-dead")
	if err := os.MkdirAll(dead, 0o750); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alive", "17"} {
		if err := os.WriteFile(filepath.Join(dead, name), []byte("half a blob"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	openDir(t, path)
	if _, err := os.Stat(dead); !os.IsNotExist(err) {
		t.Errorf("the dead process's folder is still there: %v", err)
	}
	left, err := os.ReadDir(filepath.Join(path, "tmp"))
	if err != nil || len(left) != 2 {
		t.Errorf("%d folders, %v; want those of the two open handles", len(left), err)
	}
}

func TestAScratchFolderGoesWithItsProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "scratch")
	first, release, err := store.Scratch(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(first, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	second, release2, err := store.Scratch(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(first, "x")); err != nil || first == second {
		t.Errorf("the first folder, %s, is not its own: %v", first, err)
	}
	if err := errors.Join(release(), release2()); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

func FuzzKey(f *testing.F) {
	for _, k := range append(storetest.BadKeys, "jobs/job_x/attempts/000001", "a", "adapters/imdb/3", "x@y+z.w-v_u") {
		f.Add(k)
	}
	parent := f.TempDir()
	d := openDir(f, filepath.Join(parent, "store"))
	f.Fuzz(func(t *testing.T, key string) {
		ctx := t.Context()
		err := d.Create(ctx, key, []byte(key))
		if ok := store.CheckKey(key) == nil; !ok {
			if !errors.Is(err, store.ErrKey) {
				t.Fatalf("Create(%q): %v, want ErrKey", key, err)
			}
		} else if err == nil {
			if got, err := d.Get(ctx, key); err != nil || string(got) != key {
				t.Fatalf("Get(%q) = %q, %v", key, got, err)
			}
			if keys, err := d.List(ctx, key); err != nil || len(keys) != 1 || keys[0] != key {
				t.Fatalf("List(%q) = %q, %v", key, keys, err)
			}
			if err := d.Delete(ctx, key); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.List(ctx, key); err != nil && !errors.Is(err, store.ErrKey) {
			t.Fatalf("List(%q): %v", key, err)
		}
		if entries, err := os.ReadDir(parent); err != nil || len(entries) != 1 {
			t.Fatalf("%q escaped: %v, %v", key, entries, err)
		}
	})
}

// stepped calls back whenever a listing asks whether it is to end: before each folder.
type stepped struct {
	context.Context
	step func()
}

func (s stepped) Err() error {
	s.step()
	return s.Context.Err()
}

func TestAListingLooksIntoFoldersInOrder(t *testing.T) {
	const folders = 12
	for at := range folders {
		d := openDir(t, t.TempDir())
		create := func(folder int, record string) {
			if err := d.Create(t.Context(), fmt.Sprintf("x/%02d/%s", folder, record), nil); err != nil {
				t.Fatal(err)
			}
		}
		for i := range folders {
			create(i*7%folders, "old")
		}
		steps := 0
		keys, err := d.List(stepped{t.Context(), func() {
			if steps++; steps == at+1 {
				for i := range folders { // those of the last folder first
					create(folders-1-i, "new")
				}
			}
		}}, "x/")
		if err != nil {
			t.Fatal(err)
		}
		seen := false
		for i := range folders {
			switch has := slices.Contains(keys, fmt.Sprintf("x/%02d/new", i)); {
			case has:
				seen = true
			case seen:
				t.Errorf("step %d: the listing has a record of an earlier folder and none of folder %d, created before it", at, i)
			}
		}
	}
}
