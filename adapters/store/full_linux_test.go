package store_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"

	"lorikeet/adapters/store"
)

// A file system that is full, really: what cannot be written is refused as that, leaves
// nothing, harms nothing, and can be written when there is room again.
func TestAFullFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k,mode=700"); err != nil {
		t.Skipf("missing the right to mount a small tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	d, err := store.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Create(t.Context(), "jobs/old/spec", []byte("intact")); err != nil {
		t.Fatal(err)
	}
	var blobs []string
	for range 100 {
		data := make([]byte, 8<<10)
		for i := range data {
			data[i] = byte(rand.IntN(256))
		}
		var digest string
		if digest, _, err = d.PutBlob(t.Context(), bytes.NewReader(data)); err != nil {
			break
		}
		blobs = append(blobs, digest)
	}
	if !errors.Is(err, store.ErrNoSpace) || len(blobs) == 0 {
		t.Fatalf("after %d blobs: %v", len(blobs), err)
	}
	if err := d.Create(t.Context(), "jobs/new/spec", make([]byte, 16<<10)); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("a record: %v", err)
	}
	if _, err := d.Get(t.Context(), "jobs/new/spec"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a record that was refused: %v", err)
	}
	if data, err := d.Get(t.Context(), "jobs/old/spec"); err != nil || string(data) != "intact" {
		t.Errorf("the old record: %q, %v", data, err)
	}
	for _, digest := range blobs {
		if err := d.VerifyBlob(t.Context(), digest); err != nil {
			t.Error(err)
		}
	}
	if err := d.DeleteBlob(t.Context(), blobs[0]); err != nil {
		t.Fatal(err)
	}
	if err := d.DeleteBlob(t.Context(), blobs[1]); err != nil {
		t.Fatal(err)
	}
	if err := d.Create(t.Context(), "jobs/new/spec", []byte("now")); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
