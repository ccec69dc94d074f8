package datasets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lorikeet/adapters/invalid"
	"lorikeet/inference/hub"
	"lorikeet/tuning"
	"lorikeet/tuning/data"
)

// conversion is the branch on which the hub keeps a data set that it has converted:
// https://huggingface.co/docs/dataset-viewer/parquet
const conversion = "refs/convert/parquet"

// repository is a data set of the hub, as far as it is known before its rows are read.
type repository struct {
	hub   Hub
	ref   hub.Ref
	field string // of the spec

	selection
	notes []string // on how it was found
}

// fromHub reads one split of a data set of the hub, "train" unless it is named.
func (s *Service) fromHub(ctx context.Context, field string, src *tuning.Source, kind data.Kind) (rows, error) {
	if s.o.Hub == nil {
		return rows{}, invalid.Field(field+".hf", "this server fetches no data sets; upload the file with POST /datasets")
	}
	split := "train"
	if len(src.Split) > 0 {
		if err := json.Unmarshal(src.Split, &split); err != nil || split == "" {
			return rows{}, invalid.Field(field+".split", `must be the name of a split, such as "train"`)
		}
	}
	ref, err := hub.Parse("hf:" + strings.TrimPrefix(src.HF, "hf:"))
	if err != nil {
		return rows{}, below(field+".hf", err)
	}
	ref.Dataset = true
	r := repository{hub: s.o.Hub, ref: ref, field: field}
	if err := r.find(ctx, src.Config, split); err != nil {
		return rows{}, err
	}
	return s.read(ctx, &r, src, kind)
}

// find settles which files are the split's.
func (r *repository) find(ctx context.Context, config, split string) error {
	main := r.ref.Revision == "" || r.ref.Revision == "main"
	listed, err := r.list(ctx)
	if err != nil {
		return err
	}
	if main && !slices.ContainsFunc(listed, readable) {
		return r.convertedByTheHub(ctx, listed, config, split)
	}
	var c card
	if slices.Contains(listed, "README.md") {
		readme, err := r.fetch(ctx, "README.md")
		if err != nil {
			return err
		}
		text, err := os.ReadFile(readme[0])
		if err != nil {
			return fmt.Errorf("%s: %w", r.field, err)
		}
		if c, err = parseCard(text); err != nil {
			return inFile(r.field, err)
		}
	}
	r.selection, err = choose(listed, c, config, split)
	return below(r.field, err)
}

// convertedByTheHub looks for a data set where the hub itself has put it, if its own
// branch holds a script alone: programs of strangers are not run.
func (r *repository) convertedByTheHub(ctx context.Context, found []string, config, split string) error {
	r.ref.Revision = conversion
	listed, err := r.list(ctx)
	if errors.Is(err, hub.ErrNotFound) || err == nil && !slices.ContainsFunc(listed, readable) {
		return invalid.Field(r.field+".hf", "has no CSV, JSON or Parquet file, and the hub has not converted it (there is no branch %s); it holds: %s", conversion, some(found))
	}
	if err != nil {
		return err
	}
	files, partial, err := converted(listed, config, split)
	if err != nil {
		return below(r.field, err)
	}
	r.files = files
	r.notes = append(r.notes, fmt.Sprintf("%s has no data files of its own, and its script is not run: read from the hub's conversion to Parquet (branch %s)", r.ref.Name, conversion))
	if partial {
		r.notes = append(r.notes, fmt.Sprintf("the hub converted only the first part of %q", split))
	}
	return nil
}

// list gives the names of all files. What is fetched later is of the same commit.
func (r *repository) list(ctx context.Context) ([]string, error) {
	listed, commit, err := r.hub.List(ctx, r.ref)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.field, err)
	}
	r.ref.Revision = commit
	return listed, nil
}

// fetch makes files local, and gives their paths.
func (r *repository) fetch(ctx context.Context, files ...string) ([]string, error) {
	dir, _, err := r.hub.Fetch(ctx, r.ref, func(file string) bool { return slices.Contains(files, file) })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.field, err)
	}
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = filepath.Join(dir, filepath.FromSlash(f))
	}
	return paths, nil
}

// read stores the rows that are asked for. With a limit files are fetched when their
// rows are wanted, and those behind it never; else all at once.
func (s *Service) read(ctx context.Context, r *repository, src *tuning.Source, kind data.Kind) (rows, error) {
	if src.Limit == 0 || src.Sample > 0 {
		if _, err := r.fetch(ctx, r.files...); err != nil {
			return rows{}, err
		}
	}
	var unreachable error
	files := make([]data.File, len(r.files))
	for i, name := range r.files {
		files[i] = data.File{Name: name, Open: func() (io.ReadCloser, error) {
			local, err := r.fetch(ctx, name)
			if err != nil {
				unreachable = err
				return nil, err
			}
			return os.Open(local[0])
		}}
	}
	opt := s.options(src, kind)
	opt.ClassNames = r.classes
	var report data.Report
	digest, err := s.canonical(ctx, func(out func(data.Row) error) error {
		var err error
		report, err = data.ParseFiles(files, opt, out)
		return err
	})
	if unreachable != nil {
		return rows{}, unreachable
	}
	report.Warnings = append(r.notes, report.Warnings...)
	return rows{digest, report}, inFile(r.field, err)
}

// options are how the rows of a source are to be read.
func (s *Service) options(src *tuning.Source, kind data.Kind) data.Options {
	return data.Options{Kind: kind, Columns: src.Columns, Choice: choice(src), Limits: s.o.Limits, TempDir: s.o.TempDir}
}

// standardSeed draws a sample unless the source has a seed.
const standardSeed = 42

func choice(src *tuning.Source) data.Choice {
	c := data.Choice{Offset: src.Offset, Limit: src.Limit, Sample: src.Sample, Seed: standardSeed}
	if src.ShuffleSeed != nil {
		c.Seed = *src.ShuffleSeed
	}
	return c
}

// inFile turns faults of files into faults of the spec: those that a file has are of
// "hf", those that a choice has keep their name.
func inFile(field string, err error) error {
	faults := invalid.Faults(err)
	if len(faults) == 0 {
		return err
	}
	all := make([]error, len(faults))
	for i, f := range faults {
		name, _, _ := strings.Cut(f.Field, ".")
		switch {
		case f.Line == 0 && slices.Contains([]string{"columns", "offset", "limit", "sample"}, name):
			f.Field = field + "." + f.Field
		case f.Field != "":
			f.Reason, f.Field = f.Field+": "+f.Reason, field+".hf"
		default:
			f.Field = field + ".hf"
		}
		all[i] = &f
	}
	return errors.Join(all...)
}
