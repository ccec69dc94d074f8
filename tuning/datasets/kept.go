package datasets

import (
	"context"
	"errors"
	"fmt"
	"io"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
	"lorikeet/tuning/data"
)

// CreateKept is [Service.CreateFor] of a whole file, whose bytes are kept for
// [Service.Upload] to give out again.
func (s *Service) CreateKept(ctx context.Context, tenant string, file io.ReadSeeker, how data.Options) (Dataset, bool, error) {
	d, created, err := s.CreateFor(ctx, tenant, file, how)
	if err != nil {
		return d, created, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return d, created, err
	}
	if _, _, err := s.o.Store.PutBlob(ctx, file); err != nil {
		return d, created, fmt.Errorf("data set %s: keep the upload: %w", d.ID, err)
	}
	return d, created, nil
}

// Upload gives the bytes of a data set: those of its upload where they were kept, else
// its rows as canonical JSON lines. The digest is that of the bytes.
func (s *Service) Upload(ctx context.Context, d Dataset) (b store.Blob, digest string, err error) {
	b, err = s.o.Store.OpenBlob(ctx, d.Digest)
	if digest = d.Digest; errors.Is(err, store.ErrNotFound) {
		digest = d.Canonical
		b, err = s.o.Store.OpenBlob(ctx, digest)
	}
	if err != nil {
		err = fmt.Errorf("data set %s: %w", d.ID, err)
	}
	return b, digest, err
}

// Labelled makes rows for a classifier of rows for a model that writes: what is asked is
// the text, what is answered its label. Of a conversation these are the user's message and
// the assistant's; a system message, the same for all, is left out. Other rows stay as
// they are. Faults name the field of the spec and the row.
func (s *Service) Labelled(ctx context.Context, in Inputs) (Inputs, error) {
	switch in.Kind {
	case data.Chat, data.Instruction, data.Seq2Seq:
	default:
		return in, nil
	}
	labels := map[string]int{}
	convert := func(field, digest string) (string, error) {
		if digest == "" {
			return "", nil
		}
		all, err := s.Rows(ctx, digest)
		if err != nil {
			return "", err
		}
		var faults []error
		for i, row := range all {
			if all[i], err = data.Labelled(row); err != nil {
				faults = append(faults, below(fmt.Sprintf("%s.rows[%d]", field, i), err))
			} else if field == "dataset" {
				labels[all[i].Label]++
			} else if labels[all[i].Label] == 0 {
				faults = append(faults, below(fmt.Sprintf("%s.rows[%d]", field, i), invalid.Field("label", "%q is no label of the training rows", all[i].Label)))
			}
		}
		if len(faults) > 0 {
			return "", errors.Join(faults[:min(len(faults), 100)]...)
		}
		return s.write(ctx, all)
	}
	var err error
	if in.Train, err = convert("dataset", in.Train); err != nil {
		return in, err
	}
	if in.Validation, err = convert("validation", in.Validation); err != nil {
		return in, err
	}
	in.Kind = data.Classification
	in.Labels = data.Report{Labels: labels}.Classes()
	return in, nil
}
