package datasets

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"lorikeet/adapters/invalid"
	"lorikeet/tuning"
	"lorikeet/tuning/data"
)

// Inputs are the rows of one fine-tune, ready in the store.
type Inputs struct {
	Train      string // digest of canonical rows
	Validation string // the same; "": none

	Kind           data.Kind
	Rows           int
	ValidationRows int
	Labels         []string // of a classification, in the order of their indices
	Warnings       []string
}

// rows are canonical rows in the store, and what is known of them.
type rows struct {
	digest string
	report data.Report
}

// Inputs finds the rows that a spec names, and holds back the share that it asks
// for. Faults name the fields of the spec: "dataset.rows[3].label".
func (s *Service) Inputs(ctx context.Context, spec tuning.Spec) (Inputs, error) {
	train, err := s.source(ctx, "dataset", spec.Dataset, "")
	if err != nil && !invalid.Is(err) && !errors.Is(err, ErrNotFound) {
		return Inputs{}, err // not the caller's doing: the validation set would fare no better
	}
	share, shared, wrong := share(spec.Validation)
	err = errors.Join(err, wrong)
	var held rows
	if spec.Validation != nil && !shared && wrong == nil {
		var e error
		held, e = s.source(ctx, "validation", spec.Validation, train.report.Kind)
		err = errors.Join(err, e)
	}
	if err != nil {
		return Inputs{}, err
	}
	in := Inputs{
		Train: train.digest, Validation: held.digest,
		Kind: train.report.Kind, Rows: train.report.Rows, ValidationRows: held.report.Rows,
		Labels: train.report.Classes(), Warnings: slices.Clone(train.report.Warnings),
	}
	switch {
	case shared:
		err = s.split(ctx, &in, share, seed(spec))
	case held.digest != "":
		err = fits(train.report, held.report)
		for _, w := range held.report.Warnings {
			in.Warnings = append(in.Warnings, "validation: "+w)
		}
	}
	return in, err
}

// share is the part of the training rows that a validation without rows of its own
// asks for.
func share(v *tuning.Source) (share float64, ok bool, err error) {
	if v == nil || v.ID != "" || v.Rows != nil || v.HF != "" {
		return 0, false, nil
	}
	share, ok = v.Share()
	if !ok || share <= 0 || share >= 1 {
		return 0, false, invalid.Field("validation.split", "must be a number between 0 and 1: the share of the rows to hold back")
	}
	return share, true, nil
}

func seed(spec tuning.Spec) int64 { return *spec.WithDefaults().Hyperparameters.Seed }

// source finds the rows of one source. kind, when set, is what they must be.
func (s *Service) source(ctx context.Context, field string, src *tuning.Source, kind data.Kind) (rows, error) {
	if src == nil {
		return rows{}, invalid.Field(field, "is missing")
	}
	given := 0
	for _, is := range []bool{src.ID != "", src.Rows != nil, src.HF != ""} {
		if is {
			given++
		}
	}
	if given != 1 {
		return rows{}, invalid.Field(field, `must have exactly one of "id", "rows" and "hf"`)
	}
	var found rows
	var err error
	switch {
	case src.ID != "":
		found, err = s.stored(ctx, field, src)
		if errors.Is(err, ErrNotFound) {
			err = errors.Join(err, invalid.Field(field+".id", "%v", err))
		}
	case src.HF != "":
		found, err = s.fromHub(ctx, field, src, kind)
	default:
		found, err = s.inline(ctx, src, kind)
		err = below(field, err)
	}
	if err == nil && kind != "" && found.report.Kind != kind {
		err = invalid.Field(field, "is for %s, the training rows are for %s", found.report.Kind, kind)
	}
	return found, err
}

// stored finds an uploaded data set, and makes a new one of those of its rows that are
// asked for.
func (s *Service) stored(ctx context.Context, field string, src *tuning.Source) (rows, error) {
	d, err := s.Get(ctx, src.ID)
	c := choice(src)
	if err != nil || c.Offset == 0 && c.Limit == 0 && c.Sample == 0 {
		return rows{d.Canonical, d.Report}, err
	}
	b, err := s.o.Store.OpenBlob(ctx, d.Canonical)
	if err != nil {
		return rows{}, fmt.Errorf("data set %s: %w", src.ID, err)
	}
	report := d.Report
	digest, err := s.canonical(ctx, func(out func(data.Row) error) error {
		var err error
		report, err = data.Choose(b, d.Report, c, out)
		return err
	})
	if err != nil && !invalid.Is(err) {
		err = fmt.Errorf("data set %s: %w", src.ID, err)
	}
	return rows{digest, report}, errors.Join(below(field, err), b.Close())
}

// inline stores rows that came inside of a request. kind may be empty. Faults name the
// row by index, "rows[3].label".
func (s *Service) inline(ctx context.Context, src *tuning.Source, kind data.Kind) (rows, error) {
	var report data.Report
	digest, err := s.canonical(ctx, func(out func(data.Row) error) error {
		var err error
		report, err = data.ParseRows(src.Rows, s.options(src, kind), out)
		return err
	})
	return rows{digest, report}, err
}

// below puts a field's path in front of the faults in err.
func below(field string, err error) error {
	faults := invalid.Faults(err)
	if len(faults) == 0 {
		return err
	}
	all := make([]error, len(faults))
	for i, f := range faults {
		f.Field = strings.TrimSuffix(field+"."+f.Field, ".")
		all[i] = &f
	}
	return errors.Join(all...)
}

// fits checks a validation set against the training set: what was never shown
// cannot be scored.
func fits(train, held data.Report) error {
	var unknown []string
	for label := range held.Labels {
		if _, ok := train.Labels[label]; !ok {
			unknown = append(unknown, label)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	const shown = 5
	more := ""
	if n := len(unknown); n > shown {
		more, unknown = fmt.Sprintf(" and %d more", n-shown), unknown[:shown]
	}
	return invalid.Field("validation", "has labels that the training rows lack: %q%s", unknown, more)
}

// split holds a share of the training rows back.
func (s *Service) split(ctx context.Context, in *Inputs, share float64, seed int64) error {
	all, err := s.Rows(ctx, in.Train)
	if err != nil {
		return err
	}
	train, held := data.Split(all, share, seed)
	if len(train) == 0 || len(held) == 0 {
		return invalid.Field("validation.split", "leaves %d rows to train on and %d to evaluate; both need at least one", len(train), len(held))
	}
	if in.Train, err = s.write(ctx, train); err != nil {
		return err
	}
	if in.Validation, err = s.write(ctx, held); err != nil {
		return err
	}
	in.Rows, in.ValidationRows = len(train), len(held)
	return nil
}

// Rows reads the canonical rows that a digest names.
func (s *Service) Rows(ctx context.Context, digest string) ([]data.Row, error) {
	b, err := s.o.Store.OpenBlob(ctx, digest)
	if err != nil {
		return nil, err
	}
	var all []data.Row
	for row, err := range data.All(b) {
		if err != nil {
			return nil, errors.Join(fmt.Errorf("rows %s: %w", digest, err), b.Close())
		}
		all = append(all, row)
	}
	return all, b.Close()
}

func (s *Service) write(ctx context.Context, all []data.Row) (string, error) {
	return s.canonical(ctx, func(out func(data.Row) error) error {
		for _, row := range all {
			if err := out(row); err != nil {
				return err
			}
		}
		return nil
	})
}
