package datasets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
	"lorikeet/tuning/data"
)

func newService(t *testing.T) (*Service, *store.Dir) {
	t.Helper()
	dir, err := store.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	})
	return New(Options{Store: dir, TempDir: t.TempDir()}), dir
}

func blobs(t *testing.T, dir *store.Dir) (n int) {
	t.Helper()
	for _, err := range dir.Blobs(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func content(t *testing.T, dir *store.Dir, digest string) string {
	t.Helper()
	var b strings.Builder
	if _, err := dir.Fetch(t.Context(), digest, &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const csv = "text,label\ngood,positive\nbad,negative\n"

func TestCreate(t *testing.T) {
	s, dir := newService(t)
	d, created, err := s.Create(t.Context(), strings.NewReader(csv), data.Options{Format: "auto", Name: "a.csv"})
	if err != nil || !created {
		t.Fatal(created, err)
	}
	if want := `{"text":"good","label":"positive"}` + "\n" + `{"text":"bad","label":"negative"}` + "\n"; content(t, dir, d.Canonical) != want {
		t.Errorf("canonical rows: %s", content(t, dir, d.Canonical))
	}
	if d.Digest != "sha256:"+sum(csv) || d.Bytes != int64(len(csv)) || d.Rows != 2 || d.Kind != data.Classification || d.CreatedAt.IsZero() {
		t.Errorf("%+v", d)
	}
	t.Run("makes one data set of one file", func(t *testing.T) {
		again, created, err := s.Create(t.Context(), strings.NewReader(csv), data.Options{Format: "csv", Name: "b.csv"})
		if err != nil || created || again.ID != d.ID || again.Name != "a.csv" {
			t.Errorf("%+v, %v, %v", again, created, err)
		}
	})
	t.Run("makes another of the same bytes read in another way", func(t *testing.T) {
		other, created, err := s.Create(t.Context(), strings.NewReader(csv), data.Options{Format: "text", Name: "a.csv"})
		if err != nil || !created || other.ID == d.ID || other.Kind != data.Text {
			t.Errorf("%+v, %v, %v", other, created, err)
		}
	})
	t.Run("makes one of many at once", func(t *testing.T) {
		var wg sync.WaitGroup
		var mu sync.Mutex
		ids, made := map[string]bool{}, 0
		for range 8 {
			wg.Go(func() {
				d, created, err := s.Create(t.Context(), strings.NewReader("text,label\na,x\nb,y\n"), data.Options{})
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				ids[d.ID] = true
				if created {
					made++
				}
			})
		}
		wg.Wait()
		if len(ids) != 1 || made != 1 {
			t.Errorf("%d ids, made %d times", len(ids), made)
		}
	})
}

func TestCreateStoresNothingOfABadFile(t *testing.T) {
	s, dir := newService(t)
	broken := errors.New("the line went dead")
	long := "text,label\n" + strings.Repeat("good,positive\nbad,negative\n", 10_000)
	for name, c := range map[string]struct {
		r    io.Reader
		is   error // nil: the file's fault
		line int
	}{
		"with a bad row at its end":     {strings.NewReader(long + "only one field\n"), nil, 20_002},
		"that is empty":                 {strings.NewReader(""), nil, 1},
		"that breaks off at once":       {iotest.ErrReader(broken), broken, 0},
		"that breaks off in the middle": {io.MultiReader(strings.NewReader(long), iotest.ErrReader(broken)), broken, 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := s.Create(t.Context(), c.r, data.Options{})
			if c.is != nil {
				if !errors.Is(err, c.is) || invalid.Is(err) {
					t.Errorf("error %v", err)
				}
			} else if f := invalid.Faults(err); len(f) != 1 || f[0].Line != c.line {
				t.Errorf("faults %v, error %v", f, err)
			}
			if n := blobs(t, dir); n != 0 {
				t.Errorf("%d blobs stay", n)
			}
			if all, err := s.List(t.Context()); err != nil || len(all) != 0 {
				t.Errorf("data sets %v, %v", all, err)
			}
		})
	}
	t.Run("whose sender leaves", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := s.Create(ctx, strings.NewReader(csv), data.Options{}); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
}

// failing is a store whose disk fills up after some bytes, or that keeps no records.
type failing struct {
	*store.Dir
	after   int64
	records error
}

func (f failing) PutBlob(ctx context.Context, r io.Reader) (string, int64, error) {
	if f.records != nil {
		return f.Dir.PutBlob(ctx, r)
	}
	if _, err := io.CopyN(io.Discard, r, f.after); err != nil && !errors.Is(err, io.EOF) {
		return "", 0, err
	}
	return "", 0, store.ErrNoSpace
}

func (f failing) Create(context.Context, string, []byte) error { return f.records }

func TestCreateOnAFullDisk(t *testing.T) {
	_, dir := newService(t)
	long := "text,label\n" + strings.Repeat("good,positive\nbad,negative\n", 100_000)
	for name, c := range map[string]struct {
		store failing
		file  string
	}{
		"in the middle":  {failing{dir, 1000, nil}, long},
		"at the end":     {failing{dir, 1 << 40, nil}, csv},
		"for the record": {failing{dir, 0, store.ErrNoSpace}, csv},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(Options{Store: c.store})
			if _, _, err := s.Create(t.Context(), strings.NewReader(c.file), data.Options{}); !errors.Is(err, store.ErrNoSpace) || invalid.Is(err) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestGetListPreviewDelete(t *testing.T) {
	s, dir := newService(t)
	var ids []string
	for i := range 3 {
		d, _, err := s.Create(t.Context(), strings.NewReader(csv+fmt.Sprintf("so %d,negative\n", i)), data.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, d.ID)
	}
	d, err := s.Get(t.Context(), ids[0])
	if err != nil || d.Rows != 3 || d.Labels["negative"] != 2 {
		t.Errorf("%+v, %v", d, err)
	}
	all, err := s.List(t.Context())
	if err != nil || len(all) != 3 {
		t.Errorf("%v, %v", all, err)
	}
	for i := 1; i < len(all); i++ {
		if all[i].CreatedAt.After(all[i-1].CreatedAt) {
			t.Error("not the newest first")
		}
	}
	rows, err := s.Preview(t.Context(), ids[0], 2)
	if err != nil || len(rows) != 2 || rows[1].Text != "bad" {
		t.Errorf("%v, %v", rows, err)
	}
	if rows, err := s.Preview(t.Context(), ids[0], 100); err != nil || len(rows) != 3 {
		t.Errorf("%v, %v", rows, err)
	}
	used, err := s.Digests(t.Context())
	if err != nil || len(used) != 6 || !used[d.Canonical] || !used[d.Digest] {
		t.Errorf("%v, %v", used, err)
	}
	if err := s.Delete(t.Context(), ids[0]); err != nil {
		t.Error(err)
	}
	for _, id := range []string{ids[0], "", "ds_", "ds_0000000000000000000", "ds_XXXXXXXXXXXXXXXXXXXX", "../blobs", "ds_../../../../../../x"} {
		if _, err := s.Get(t.Context(), id); !errors.Is(err, ErrNotFound) {
			t.Errorf("get %q: %v", id, err)
		}
		if _, err := s.Preview(t.Context(), id, 1); !errors.Is(err, ErrNotFound) {
			t.Errorf("preview %q: %v", id, err)
		}
		if err := s.Delete(t.Context(), id); !errors.Is(err, ErrNotFound) {
			t.Errorf("delete %q: %v", id, err)
		}
	}
	if content(t, dir, d.Canonical) == "" {
		t.Error("the rows went with the data set; a job may need them")
	}
	if again, created, err := s.Create(t.Context(), strings.NewReader(csv+"so 0,negative\n"), data.Options{}); err != nil || !created || again.ID != ids[0] {
		t.Errorf("after the delete: %+v, %v, %v", again, created, err)
	}
}

func FuzzCreate(f *testing.F) {
	for _, seed := range []string{csv, `{"text":"a","label":"x"}` + "\n", `[{"text":"a","label":1}]`, "\xff\xfea\x00", "PAR1", "", "a\x00b", `"`} {
		f.Add([]byte(seed))
	}
	dir, err := store.OpenDir(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	s := New(Options{Store: dir, TempDir: f.TempDir()})
	f.Fuzz(func(t *testing.T, file []byte) {
		d, _, err := s.Create(t.Context(), strings.NewReader(string(file)), data.Options{})
		if err != nil {
			if !invalid.Is(err) {
				t.Fatalf("%q: %v", file, err)
			}
			return
		}
		rows, err := s.Rows(t.Context(), d.Canonical)
		if err != nil || len(rows) != d.Rows {
			t.Fatalf("%q: %d rows were reported, %d come back (%v)", file, d.Rows, len(rows), err)
		}
		if _, err := json.Marshal(d); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTenantsDoNotShareDataSets(t *testing.T) {
	s, _ := newService(t)
	ids := map[string]bool{}
	for _, tenant := range []string{"", "acme", "other"} {
		d, created, err := s.CreateFor(t.Context(), tenant, strings.NewReader(csv), data.Options{})
		if err != nil || !created || d.Tenant != tenant || ids[d.ID] {
			t.Errorf("tenant %q: %+v, %v, %v", tenant, d, created, err)
		}
		ids[d.ID] = true
		if again, created, err := s.CreateFor(t.Context(), tenant, strings.NewReader(csv), data.Options{}); err != nil || created || again.ID != d.ID {
			t.Errorf("again: %+v, %v, %v", again, created, err)
		}
	}
}
