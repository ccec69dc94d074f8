// Package datasets keeps what users train on. An upload is read once, as it
// arrives: package data checks every row and writes the canonical form straight into
// the record store, so neither the upload nor a copy of it is ever held whole. Only
// when the last row was good is a record made; a bad file leaves nothing behind.
//
// A data set is named by its content. The same upload is the same data set, however
// often and wherever it is sent.
package datasets

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"lorikeet/adapters/store"
	"lorikeet/inference/hub"
	"lorikeet/tuning/data"
)

// ErrNotFound is returned for a data set that does not exist, or was deleted.
var ErrNotFound = errors.New("no such data set")

// Store is what is needed of the record store; see [store.Dir].
type Store interface {
	Create(ctx context.Context, key string, data []byte) error
	Get(ctx context.Context, key string) ([]byte, error)
	Children(ctx context.Context, prefix string) ([]string, error)
	Delete(ctx context.Context, key string) error
	PutBlob(ctx context.Context, r io.Reader) (digest string, size int64, err error)
	OpenBlob(ctx context.Context, digest string) (store.Blob, error)
}

// Hub lists and fetches files of a repository; see [hub.Client].
type Hub interface {
	List(ctx context.Context, r hub.Ref) (files []string, commit string, err error)
	Fetch(ctx context.Context, r hub.Ref, want func(file string) bool) (dir, commit string, err error)
}

// Options of a Service. Only Store is required.
type Options struct {
	Store   Store
	Hub     Hub         // where {"hf": …} comes from; nil: refused
	Limits  data.Limits // of one file
	TempDir string      // where a Parquet file waits while it is read; "": the system's
}

// Service keeps data sets in a store. It is safe for concurrent use, and several
// processes may share a store.
type Service struct{ o Options }

// New makes a service.
func New(o Options) *Service { return &Service{o} }

// Dataset is an uploaded file: what was found in it, and where its rows are.
type Dataset struct {
	ID     string `json:"id" example:"ds_9f86d081884c7d659a2f"`
	Digest string `json:"digest" example:"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"` // of the upload, byte by byte
	Name   string `json:"name,omitempty" example:"reviews.csv"`
	Tenant string `json:"tenant,omitempty" example:"acme"` // whose it is; empty: the default tenant
	Bytes  int64  `json:"bytes" example:"52114"`           // of the upload
	data.Report
	CreatedAt time.Time `json:"created_at"`
	// Canonical is the digest of the blob that holds the rows as canonical JSON lines.
	Canonical   string      `json:"canonical_digest" example:"sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"`
	CleanedFrom string      `json:"cleaned_from,omitempty" example:"ds_9f86d081884c7d659a2f"` // the data set whose sound rows these are
	Quarantine  *Quarantine `json:"quarantine,omitempty"`                                     // the rows that were left out
	Feedback    *Feedback   `json:"feedback,omitempty"`                                       // what was learned of answers, of which it was made
} // @name Dataset

// Row is one canonical row; see package data.
type Row = data.Row

const folder = "datasets/"

// Create takes in a file of the default tenant; see [Service.CreateFor].
func (s *Service) Create(ctx context.Context, r io.Reader, how data.Options) (Dataset, bool, error) {
	return s.CreateFor(ctx, "", r, how)
}

// CreateFor takes in a file of a tenant. The same file sent by two tenants is two data
// sets, so that neither learns what the other has. How it is read is up to how's Format,
// Name, Columns and Choice. It reports whether the data set is new.
//
// An error that holds invalid.Faults says what is wrong with the file; then nothing
// was stored. An error of r is returned as r gave it.
func (s *Service) CreateFor(ctx context.Context, tenant string, r io.Reader, how data.Options) (Dataset, bool, error) {
	return s.create(ctx, Dataset{Name: how.Name, Tenant: tenant}, r, how)
}

// create takes in a file. d is the data set as far as it is known before.
func (s *Service) create(ctx context.Context, d Dataset, r io.Reader, how data.Options) (Dataset, bool, error) {
	how.Limits, how.TempDir = s.o.Limits, s.o.TempDir
	in := &tally{r: r, sum: sha256.New()}
	canonical, err := s.canonical(ctx, func(out func(data.Row) error) error {
		var err error
		d.Report, err = data.Parse(in, how, out)
		if err == nil {
			_, err = io.Copy(io.Discard, in) // what a parser leaves unread is part of the digest
		}
		if in.err != nil {
			return in.err // that the file breaks off is not the file's mistake
		}
		return err
	})
	if err != nil {
		return Dataset{}, false, err
	}
	d.Digest = "sha256:" + hex.EncodeToString(in.sum.Sum(nil))
	d.Canonical, d.Bytes = canonical, in.n
	d.ID = identify(d.Tenant, d.Digest, d.Canonical)
	d.CreatedAt = now()
	return s.record(ctx, d)
}

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// identify names a data set after what came in and what was read out of it: the same
// bytes read in another way (format=…, columns=…) are another data set, and so are another tenant's.
func identify(tenant, upload, canonical string) string {
	text := upload + "\n" + canonical
	if tenant != "" {
		text += "\n" + tenant
	}
	sum := sha256.Sum256([]byte(text))
	return "ds_" + hex.EncodeToString(sum[:])[:20]
}

// record makes the data set known. The first of several equal uploads gives it its
// name and its time.
func (s *Service) record(ctx context.Context, d Dataset) (Dataset, bool, error) {
	b, err := json.Marshal(d)
	if err != nil {
		return Dataset{}, false, fmt.Errorf("data set %s: %w", d.ID, err)
	}
	err = s.o.Store.Create(ctx, folder+d.ID, b)
	switch {
	case err == nil:
		return d, true, nil
	case errors.Is(err, store.ErrExists):
		old, err := s.Get(ctx, d.ID)
		return old, false, err
	}
	return Dataset{}, false, fmt.Errorf("data set %s: %w", d.ID, err)
}

// Get finds a data set.
func (s *Service) Get(ctx context.Context, id string) (Dataset, error) {
	if !validID(id) {
		return Dataset{}, Missing(id)
	}
	b, err := s.o.Store.Get(ctx, folder+id)
	if errors.Is(err, store.ErrNotFound) {
		return Dataset{}, Missing(id)
	}
	if err != nil {
		return Dataset{}, fmt.Errorf("data set %s: %w", id, err)
	}
	var d Dataset
	if err := json.Unmarshal(b, &d); err != nil {
		return Dataset{}, fmt.Errorf("data set %s: read its record: %w", id, err)
	}
	return d, nil
}

// Missing is the error for a data set that is not there, or is not the asker's.
func Missing(id string) error {
	if len(id) > 64 {
		id = id[:64] + "…"
	}
	return fmt.Errorf("%w: %q; GET /datasets lists them", ErrNotFound, id)
}

// validID keeps what is no id away from the store's keys.
func validID(id string) bool {
	rest, ok := strings.CutPrefix(id, "ds_")
	if !ok || len(rest) != 20 {
		return false
	}
	for i := range len(rest) {
		if c := rest[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// List gives all data sets, the newest first.
func (s *Service) List(ctx context.Context) ([]Dataset, error) {
	ids, err := s.o.Store.Children(ctx, folder)
	if err != nil {
		return nil, fmt.Errorf("list data sets: %w", err)
	}
	all := make([]Dataset, 0, len(ids))
	for _, id := range ids {
		d, err := s.Get(ctx, path.Base(id))
		if errors.Is(err, ErrNotFound) {
			continue // deleted since
		}
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b Dataset) int {
		if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all, nil
}

// Preview gives the first rows of a data set.
func (s *Service) Preview(ctx context.Context, id string, most int) ([]Row, error) {
	d, err := s.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	b, err := s.o.Store.OpenBlob(ctx, d.Canonical)
	if err != nil {
		return nil, fmt.Errorf("data set %s: %w", id, err)
	}
	rows := make([]Row, 0, most)
	for row, err := range data.All(b) {
		if err != nil {
			return nil, errors.Join(fmt.Errorf("data set %s: %w", id, err), b.Close())
		}
		if rows = append(rows, row); len(rows) == most {
			break
		}
	}
	return rows, b.Close()
}

// Delete forgets a data set. Its rows stay: jobs may have been given them. They are
// collected when nothing names them any more.
func (s *Service) Delete(ctx context.Context, id string) error {
	if _, err := s.Get(ctx, id); err != nil {
		return err
	}
	err := s.o.Store.Delete(ctx, folder+id)
	if errors.Is(err, store.ErrNotFound) {
		return Missing(id) // somebody else was faster
	}
	return err
}

// Digests are the blobs that data sets refer to, which must not be collected.
func (s *Service) Digests(ctx context.Context) (map[string]bool, error) {
	all, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	for _, d := range all {
		used[d.Canonical] = true
		used[d.Digest] = true // of the upload, where it was kept
		if d.Quarantine != nil {
			used[d.Quarantine.Digest] = true
		}
	}
	return used, nil
}

// canonical stores the rows that fill hands to its argument as canonical JSON lines.
// Nothing is stored when fill fails.
func (s *Service) canonical(ctx context.Context, fill func(out func(data.Row) error) error) (string, error) {
	digest, _, err := s.put(ctx, func(to io.Writer) error {
		w := data.NewWriter(to)
		if err := fill(w.Write); err != nil {
			return err
		}
		return w.Flush()
	})
	return digest, err
}

// put stores rows while fill writes them. Nothing is stored when it fails.
func (s *Service) put(ctx context.Context, fill func(to io.Writer) error) (digest string, size int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	from, to := io.Pipe()
	stored := make(chan error, 1)
	go func() {
		var err error
		digest, size, err = s.o.Store.PutBlob(ctx, from)
		_ = from.CloseWithError(err) // nothing reads any more: the writer must not wait
		stored <- err
	}()
	if err = fill(to); err != nil {
		_ = to.CloseWithError(errAbandoned)
	} else {
		_ = to.Close()
	}
	put := <-stored
	if put != nil && (err == nil || errors.Is(err, put)) {
		return "", 0, fmt.Errorf("store the rows: %w", put) // fill met it at the other end of the pipe
	}
	return digest, size, err
}

var errAbandoned = errors.New("the rows turned out to be bad")

// tally counts and digests what is read, and remembers an error of the reader.
type tally struct {
	r   io.Reader
	sum interface {
		io.Writer
		Sum([]byte) []byte
	}
	n   int64
	err error
}

func (t *tally) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	_, _ = t.sum.Write(p[:n]) // a hash never fails
	t.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		t.err = err
	}
	return n, err
}
