package store

import (
	"errors"
	"strconv"
	"sync"
	"testing"
)

// Of many who count at once each counts.
func TestAmend(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	const processes, each = 8, 20
	var wg sync.WaitGroup
	for range processes {
		d, err := OpenDir(root)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		wg.Go(func() {
			for range each {
				_, err := Amend(t.Context(), d, "count/", func(n int, latest []byte) ([]byte, error) {
					if n == 0 {
						return []byte("1"), nil
					}
					v, err := strconv.Atoi(string(latest))
					if v != n {
						t.Errorf("record %d holds %q", n, latest)
					}
					return strconv.AppendInt(nil, int64(v)+1, 10), err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	d, err := OpenDir(root)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if n, data, err := Newest(t.Context(), d, "count/"); err != nil || n != processes*each || string(data) != strconv.Itoa(n) {
		t.Errorf("%d: %q, %v", n, data, err)
	}
	if n, err := Amend(t.Context(), d, "count/", func(int, []byte) ([]byte, error) { return nil, nil }); err != nil || n != processes*each {
		t.Errorf("nothing to add: %d, %v", n, err)
	}
	broken := errors.New("broken")
	if _, err := Amend(t.Context(), d, "count/", func(int, []byte) ([]byte, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	// The millionth sorts before the second, by its bytes.
	if err := d.Create(t.Context(), NumberedKey("count/", 1_000_000), []byte("many")); err != nil {
		t.Fatal(err)
	}
	if n, data, err := Newest(t.Context(), d, "count/"); err != nil || n != 1_000_000 || string(data) != "many" {
		t.Errorf("%d: %q, %v", n, data, err)
	}
	if n, _, err := Newest(t.Context(), d, "other/"); err != nil || n != 0 {
		t.Errorf("an empty folder: %d, %v", n, err)
	}
}
