package datasets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
	"lorikeet/tuning/data"
)

// Examination is what the doctor found in a data set.
type Examination struct {
	Dataset   string `json:"dataset" example:"ds_9f86d081884c7d659a2f"`
	Validated string `json:"validation,omitempty" example:"ds_2c26b46b68ffc68ff99b"` // whose rows were looked for
	data.Diagnosis
} // @name Examination

// Quarantine holds the rows that were left out of a cleaned data set.
type Quarantine struct {
	Digest  string         `json:"digest" example:"sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"` // of JSON lines: {"row", "reasons", "data"}
	Rows    int            `json:"rows" example:"14"`
	Reasons map[string]int `json:"reasons" example:"duplicate:12,contradiction:2"` // a row may have several
} // @name Quarantine

// Cleaning says which rows to leave out.
type Cleaning struct {
	Drop       []string // of data.Ailments; nil: data.Cures
	Validation string   // id of the data set for leakage; "": none
	Name       string   // of the new data set; "": the old one's and "(cleaned)"
}

// examining bounds the memory of examinations: each takes up to about 120 MB.
var examining = make(chan struct{}, 2)

// Doctor looks through the rows of a data set, also for those of the validation data set,
// if one is named.
func (s *Service) Doctor(ctx context.Context, id, validation string) (Examination, error) {
	_, e, _, err := s.examine(ctx, id, validation)
	return e, err
}

func (s *Service) examine(ctx context.Context, id, validation string) (d Dataset, e Examination, sick map[int][]string, err error) {
	if d, err = s.Get(ctx, id); err != nil {
		return d, e, nil, err
	}
	var held iter.Seq2[data.Row, error]
	if validation != "" {
		v, err := s.Get(ctx, validation)
		if err != nil {
			return d, e, nil, errors.Join(err, invalid.Field("validation", "%v", err))
		}
		if v.Kind != d.Kind {
			return d, e, nil, invalid.Field("validation", "%s is for %s, %s for %s", validation, v.Kind, id, d.Kind)
		}
		held = s.Stream(ctx, v.Canonical)
	}
	select {
	case examining <- struct{}{}:
		defer func() { <-examining }()
	case <-ctx.Done():
		return d, e, nil, ctx.Err()
	}
	e = Examination{Dataset: id, Validated: validation}
	e.Diagnosis, sick, err = data.Examine(s.Stream(ctx, d.Canonical), held)
	return d, e, sick, err
}

// Stream reads canonical rows; it ends with ctx.
func (s *Service) Stream(ctx context.Context, digest string) iter.Seq2[data.Row, error] {
	return func(yield func(data.Row, error) bool) {
		b, err := s.o.Store.OpenBlob(ctx, digest)
		if err != nil {
			yield(data.Row{}, fmt.Errorf("rows %s: %w", digest, err))
			return
		}
		defer func() { _ = b.Close() }() // read only
		for r, err := range data.All(b) {
			if err == nil {
				err = ctx.Err()
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// Clean makes a new data set without the rows that have one of the ailments, and keeps
// those beside it. It reports whether there is a new one: of rows with nothing the matter
// the data set itself is given.
func (s *Service) Clean(ctx context.Context, id string, how Cleaning) (Dataset, bool, error) {
	if how.Drop == nil {
		how.Drop = data.Cures
	}
	var faults []error
	for i, kind := range how.Drop {
		if !slices.Contains(data.Ailments, kind) {
			faults = append(faults, invalid.Field(fmt.Sprintf("drop[%d]", i), "%q is none of %s", kind, strings.Join(data.Ailments, ", ")))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return Dataset{}, false, err
	}
	old, e, sick, err := s.examine(ctx, id, how.Validation)
	if err != nil {
		return Dataset{}, false, err
	}
	if e.Unread > 0 {
		return Dataset{}, false, invalid.Field("id", "has %d rows; up to %d can be cleaned", e.Rows+e.Unread, data.DoctorRows)
	}
	q := Quarantine{Reasons: map[string]int{}}
	out := map[int][]string{}
	for row, has := range sick {
		for _, kind := range has {
			if slices.Contains(how.Drop, kind) {
				out[row] = append(out[row], kind)
				q.Reasons[kind]++
			}
		}
	}
	if q.Rows = len(out); q.Rows == 0 {
		return old, false, nil
	}
	if q.Rows == old.Rows {
		return Dataset{}, false, invalid.Field("drop", "leaves no rows: all %d have one of these", old.Rows)
	}
	return s.cured(ctx, old, how.Name, q, out)
}

// cured writes both parts of a data set.
func (s *Service) cured(ctx context.Context, old Dataset, name string, q Quarantine, out map[int][]string) (Dataset, bool, error) {
	d := Dataset{Name: name, Tenant: old.Tenant, CleanedFrom: old.ID, Report: data.Report{Format: "jsonl", Kind: old.Kind, Columns: old.Columns, Warnings: []string{}, Errors: []invalid.Fault{}}}
	if old.Labels != nil {
		d.Labels = map[string]int{}
	}
	if d.Name == "" {
		d.Name = strings.TrimSpace(old.Name + " (cleaned)")
	}
	var err error
	d.Canonical, d.Bytes, err = s.put(ctx, func(to io.Writer) error {
		w, n := data.NewWriter(to), 0
		for r, err := range s.Stream(ctx, old.Canonical) {
			if err != nil {
				return err
			}
			n++
			if out[n] != nil {
				continue
			}
			d.Rows++
			if d.Labels != nil {
				d.Labels[r.Label]++
			}
			if err := w.Write(r); err != nil {
				return err
			}
		}
		return w.Flush()
	})
	if err != nil {
		return Dataset{}, false, fmt.Errorf("clean %s: %w", old.ID, err)
	}
	if q.Digest, err = s.setAside(ctx, old.Canonical, out); err != nil {
		return Dataset{}, false, fmt.Errorf("clean %s: %w", old.ID, err)
	}
	d.Quarantine, d.Digest = &q, d.Canonical // there is no upload
	d.ID = identify(d.Tenant, d.Digest, d.Canonical+q.Digest)
	d.CreatedAt = now()
	return s.record(ctx, d)
}

// setAside stores the rows that are left out, as JSON lines, while they are read.
func (s *Service) setAside(ctx context.Context, rows string, out map[int][]string) (digest string, err error) {
	digest, _, err = s.put(ctx, func(to io.Writer) error {
		lines, n := json.NewEncoder(to), 0
		lines.SetEscapeHTML(false)
		for r, err := range s.Stream(ctx, rows) {
			n++
			if err == nil && out[n] != nil {
				err = lines.Encode(leftOut{n, out[n], r})
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return digest, err
}

// leftOut is one row in quarantine.
type leftOut struct {
	Row     int      `json:"row"`
	Reasons []string `json:"reasons"`
	Data    data.Row `json:"data"`
}

// OpenQuarantine opens the rows that were left out of a cleaned data set.
func (s *Service) OpenQuarantine(ctx context.Context, id string) (store.Blob, Quarantine, error) {
	d, err := s.Get(ctx, id)
	if err != nil {
		return nil, Quarantine{}, err
	}
	if d.Quarantine == nil {
		return nil, Quarantine{}, fmt.Errorf("%w: nothing was left out of it", Missing(id))
	}
	b, err := s.o.Store.OpenBlob(ctx, d.Quarantine.Digest)
	return b, *d.Quarantine, err
}
