package datasets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"lorikeet/adapters/invalid"
	"lorikeet/inference/hub"
	"lorikeet/tuning"
	"lorikeet/tuning/data"
)

// fromHub fetches one split of a data set of the hub. Split is the name of the split
// (default "train"), or "folder/split" where a repository holds several data sets.
func (s *Service) fromHub(ctx context.Context, field string, src *tuning.Source, kind data.Kind) (rows, error) {
	if s.o.Hub == nil {
		return rows{}, invalid.Field(field+".hf", "this server fetches no data sets; upload the file with POST /datasets")
	}
	name := "train"
	if len(src.Split) > 0 {
		if err := json.Unmarshal(src.Split, &name); err != nil || name == "" {
			return rows{}, invalid.Field(field+".split", `must be the name of a split, such as "train"`)
		}
	}
	ref, err := hub.Parse("hf:" + strings.TrimPrefix(src.HF, "hf:"))
	if err != nil {
		return rows{}, below(field+".hf", err)
	}
	ref.Dataset = true

	// The hub's client lists the files by asking which are wanted. The first time none
	// is, which costs the list; the second time those of the split are.
	var listed []string
	_, _, err = s.o.Hub.Fetch(ctx, ref, func(file string) bool {
		listed = append(listed, file)
		return false
	})
	if len(listed) == 0 && err != nil {
		return rows{}, fmt.Errorf("%s: %w", field, err)
	}
	files, err := choose(listed, name)
	if err != nil {
		return rows{}, below(field, err)
	}
	dir, _, err := s.o.Hub.Fetch(ctx, ref, func(file string) bool { return slices.Contains(files, file) })
	if err != nil {
		return rows{}, fmt.Errorf("%s: %w", field, err)
	}
	return s.shards(ctx, field, dir, files, kind)
}

// choose picks the data files of a split: those whose path holds its name as a
// word, as in train.csv, data/train-00000-of-00002.parquet or train/part1.jsonl.
func choose(listed []string, split string) ([]string, error) {
	folder, word := path.Split(split)
	folder = strings.TrimSuffix(folder, "/")
	var readable, chosen []string
	folders := map[string]bool{}
	for _, f := range listed {
		switch strings.ToLower(path.Ext(f)) {
		case ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet":
		default:
			continue
		}
		if folder != "" && !strings.HasPrefix(f, folder+"/") {
			continue
		}
		readable = append(readable, f)
		if slices.Contains(words(f), strings.ToLower(word)) {
			chosen = append(chosen, f)
			folders[path.Dir(f)] = true
		}
	}
	switch {
	case len(chosen) == 0 && len(readable) == 1 && word == "train":
		return readable, nil // one file and no splits: that is what there is to train on
	case len(chosen) == 0:
		return nil, invalid.Field("split", "no CSV, JSON or Parquet file of this data set belongs to %q; there are: %s", split, some(listed))
	case len(folders) > 1:
		return nil, invalid.Field("split", `this repository holds several data sets; name one as "folder/%s": %s`, word, some(chosen))
	}
	slices.Sort(chosen)
	ext := path.Ext(chosen[0])
	for _, f := range chosen {
		if path.Ext(f) != ext {
			return nil, invalid.Field("split", "the files of %q have different formats: %s", split, some(chosen))
		}
	}
	return chosen, nil
}

func words(file string) []string {
	return strings.FieldsFunc(strings.ToLower(file), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
}

func some(names []string) string {
	const shown = 10
	if len(names) > shown {
		return fmt.Sprintf("%s … (%d files)", strings.Join(names[:shown], ", "), len(names))
	}
	return strings.Join(names, ", ")
}

// shards reads the files of a split, one after the other, as one data set.
func (s *Service) shards(ctx context.Context, field, dir string, files []string, kind data.Kind) (rows, error) {
	var whole data.Report
	digest, err := s.canonical(ctx, func(out func(data.Row) error) error {
		for i, name := range files {
			report, err := s.shard(filepath.Join(dir, filepath.FromSlash(name)), kind, out)
			if err != nil {
				return inFile(field+".hf", name, err)
			}
			kind = report.Kind // the first file decides for the others
			if i == 0 {
				whole = report
				continue
			}
			add(&whole, report)
		}
		return nil
	})
	return rows{digest, whole}, err
}

// inFile says which file of a repository the faults in err are in.
func inFile(field, file string, err error) error {
	faults := invalid.Faults(err)
	if len(faults) == 0 {
		return fmt.Errorf("%s: %w", file, err)
	}
	all := make([]error, len(faults))
	for i, f := range faults {
		where := file
		if f.Field != "" {
			where += ": " + f.Field
		}
		all[i] = &invalid.Fault{Field: field, Line: f.Line, Reason: where + ": " + f.Reason}
	}
	return errors.Join(all...)
}

func (s *Service) shard(file string, kind data.Kind, out func(data.Row) error) (data.Report, error) {
	f, err := os.Open(file)
	if err != nil {
		return data.Report{}, err
	}
	report, err := data.Parse(f, data.Options{Name: filepath.Base(file), Kind: kind, Limits: s.o.Limits, TempDir: s.o.TempDir}, out)
	if e := f.Close(); err == nil {
		err = e
	}
	return report, err
}

func add(whole *data.Report, r data.Report) {
	whole.Rows += r.Rows
	if whole.Labels == nil {
		whole.Labels = map[string]int{}
	}
	for label, n := range r.Labels {
		whole.Labels[label] += n
	}
	for _, w := range r.Warnings {
		if !slices.Contains(whole.Warnings, w) {
			whole.Warnings = append(whole.Warnings, w)
		}
	}
}
