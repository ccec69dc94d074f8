package store

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// failSync makes the n-th sync from now fail.
func failSync(d *Dir, n int, err error) {
	d.sync = func(f *os.File) error {
		if n--; n == 0 {
			return err
		}
		return f.Sync()
	}
}

func TestWhenASyncFailsThereIsNoRecord(t *testing.T) {
	for _, c := range []struct {
		name   string
		nth    int
		err    error
		target error
	}{
		{"the data: disk full", 1, syscall.ENOSPC, ErrNoSpace},
		{"the data: over quota", 1, syscall.EDQUOT, ErrNoSpace},
		{"the data: broken disk", 1, syscall.EIO, syscall.EIO},
		{"the folder's name", 2, syscall.ENOSPC, ErrNoSpace},
		{"the record's name", 3, syscall.EIO, syscall.EIO},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := OpenDir(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if err := d.Create(t.Context(), "old", []byte("intact")); err != nil {
				t.Fatal(err)
			}
			failSync(d, c.nth, c.err)
			if err := d.Create(t.Context(), "a/new", []byte("x")); !errors.Is(err, c.target) {
				t.Errorf("got %v, want %v", err, c.target)
			}
			d.sync = (*os.File).Sync
			if keys, err := d.List(t.Context(), ""); err != nil || strings.Join(keys, " ") != "old" {
				t.Errorf("records %q, %v", keys, err)
			}
			if data, err := d.Get(t.Context(), "old"); err != nil || string(data) != "intact" {
				t.Errorf("the old record holds %q, %v", data, err)
			}
			if err := d.Create(t.Context(), "a/new", []byte("x")); err != nil {
				t.Errorf("after the fault is gone: %v", err)
			}
		})
	}
}

func TestEveryFlippedBitAndEveryCutOfARecordIsFound(t *testing.T) {
	whole := seal([]byte(`{"x":1}`))
	if data, ok := unseal(whole); !ok || string(data) != `{"x":1}` {
		t.Fatalf("unsealed %q, %v", data, ok)
	}
	for bit := range len(whole) * 8 {
		rotten := slices.Clone(whole)
		rotten[bit/8] ^= 1 << (bit % 8)
		if data, ok := unseal(rotten); ok {
			t.Errorf("bit %d flipped: %q", bit, data)
		}
	}
	for n := range len(whole) {
		if data, ok := unseal(whole[:n]); ok {
			t.Errorf("cut to %d bytes: %q", n, data)
		}
	}
}

func TestWhenASyncFailsThereIsNoBlob(t *testing.T) {
	d, err := OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	failSync(d, 1, syscall.ENOSPC)
	if _, _, err := d.PutBlob(t.Context(), strings.NewReader("x")); !errors.Is(err, ErrNoSpace) {
		t.Errorf("got %v", err)
	}
	for b, err := range d.Blobs(t.Context()) {
		t.Errorf("blob %v, %v", b, err)
	}
	if left, err := names(d.root, d.temp); err != nil || len(left) != 1 {
		t.Errorf("temporary files %q, %v; want only the lock", left, err)
	}
}

// After a power cut a name that is there stands for all of its bytes.
func TestBytesAreSyncedBeforeTheirNameAndThenTheName(t *testing.T) {
	d, err := OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, _, err := d.PutBlob(t.Context(), strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if err := d.Create(t.Context(), "a/1", nil); err != nil {
		t.Fatal(err)
	}
	for what, put := range map[string]func() error{
		"a blob":   func() error { _, _, err := d.PutBlob(t.Context(), strings.NewReader("x")); return err },
		"a record": func() error { return d.Create(t.Context(), "a/2", []byte("x")) },
	} {
		var synced []string
		d.sync = func(f *os.File) error {
			st, err := f.Stat()
			if err != nil {
				return err
			}
			_, missing := d.root.Stat("a/2")
			switch {
			case st.IsDir():
				synced = append(synced, "folder")
			case st.Size() == 0:
				synced = append(synced, "nothing")
			case what == "a record" && missing == nil:
				synced = append(synced, "late")
			default:
				synced = append(synced, "bytes")
			}
			return f.Sync()
		}
		if err := put(); err != nil || strings.Join(synced, " ") != "bytes folder" {
			t.Errorf("%s: synced %v, %v", what, synced, err)
		}
	}
}

func TestAFileSystemWithoutFolderSyncIsAccepted(t *testing.T) {
	d, err := OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.sync = func(f *os.File) error {
		if st, err := f.Stat(); err == nil && st.IsDir() {
			return syscall.EINVAL
		}
		return f.Sync()
	}
	if err := d.Create(t.Context(), "a/b", nil); err != nil {
		t.Error(err)
	}
}
