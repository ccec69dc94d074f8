package datasets

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"lorikeet/adapters/invalid"
)

// selection is the files of one split, and what the repository says of them.
type selection struct {
	files   []string
	classes map[string][]string // column → names of its classes
}

// choose picks the data files of a split of a config. The README.md decides, where it
// lists them; else the names of the files do, see [byName].
func choose(listed []string, c card, config, split string) (selection, error) {
	folder, word := path.Split(split)
	if folder = strings.TrimSuffix(folder, "/"); config == "" {
		config = folder
	}
	if len(c.configs) == 0 {
		files, err := byName(listed, config, word)
		if config == "" {
			config = onlyConfig
			if _, ok := c.classes[config]; !ok && len(c.classes) == 1 {
				for only := range c.classes {
					config = only
				}
			}
		}
		return selection{files, c.classes[config]}, err
	}
	found, err := c.config(config)
	if err != nil {
		return selection{}, err
	}
	s := selection{classes: c.classes[found.name]}
	if len(found.splits) == 0 {
		s.files, err = byName(listed, found.dir, word)
		return s, err
	}
	var names []string
	for _, known := range found.splits {
		names = append(names, known.name)
		if known.name != word {
			continue
		}
		if s.files, err = matching(listed, found, known); err != nil {
			return s, err
		}
		return s, oneFormat(word, s.files)
	}
	return s, invalid.Field("split", "%q has no split %q; there are: %s%s", found.name, word, some(names), slice(word))
}

// slice explains what to write for the datasets library's "train[:200]".
func slice(split string) string {
	if strings.ContainsAny(split, "[%]") {
		return "; part of a split is asked for with offset, limit and sample"
	}
	return ""
}

// config finds a data set by its name, or the one that is meant without.
func (c card) config(name string) (cardConfig, error) {
	var names []string
	for _, known := range c.configs {
		names = append(names, known.name)
		if known.name == name || name == "" && (known.standard || len(c.configs) == 1) {
			return known, nil
		}
	}
	if at := slices.Index(names, onlyConfig); name == "" && at >= 0 {
		return c.configs[at], nil
	}
	if name == "" {
		return cardConfig{}, invalid.Field("config", "this repository holds several data sets; name one: %s", some(names))
	}
	return cardConfig{}, invalid.Field("config", "there is no %q; there are: %s", name, some(names))
}

// matching are the files that the globs of a split match, in the order of the globs.
func matching(listed []string, c cardConfig, split cardSplit) ([]string, error) {
	var files []string
	for _, pattern := range split.patterns {
		full := path.Join(c.dir, pattern)
		var matched []string
		for _, f := range listed {
			if matches(full, f) && readable(f) && !slices.Contains(files, f) {
				matched = append(matched, f)
			}
		}
		slices.Sort(matched)
		files = append(files, matched...)
	}
	if len(files) == 0 {
		return nil, invalid.Field("split", "README.md says that %q is %s, and no CSV, JSON or Parquet file is; there are: %s", split.name, some(split.patterns), some(listed))
	}
	return files, nil
}

// matches reports whether a path is what a glob means; ** stands for any number of
// folders. A glob that is none matches itself alone.
func matches(glob, file string) bool {
	if glob == file {
		return true
	}
	return matchParts(strings.Split(glob, "/"), strings.Split(file, "/"))
}

// matchParts works along both lists once: the last ** seen takes one more folder
// whenever what follows it does not fit.
func matchParts(glob, file []string) bool {
	g, f, star, from := 0, 0, -1, 0
	for f < len(file) {
		if g < len(glob) && glob[g] == "**" {
			star, from = g, f
			g++
			continue
		}
		if g < len(glob) {
			if ok, err := path.Match(glob[g], file[f]); ok && err == nil {
				g, f = g+1, f+1
				continue
			}
		}
		if star < 0 {
			return false
		}
		from++
		g, f = star+1, from
	}
	for g < len(glob) && glob[g] == "**" {
		g++
	}
	return g == len(glob)
}

// readable reports whether a file holds rows, by its name.
func readable(file string) bool {
	switch strings.ToLower(path.Ext(file)) {
	case ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet":
		return true
	}
	return false
}

// otherNames are what splits are called, too, as the datasets library has it.
var otherNames = map[string][]string{
	"train":      {"training"},
	"validation": {"valid", "val", "dev"},
	"test":       {"testing", "eval", "evaluation"},
}

// byName picks the files whose path holds a split's name as a word, as in train.csv,
// data/train-00000-of-00002.parquet or train/part1.jsonl; below folder, if it is set.
func byName(listed []string, folder, split string) ([]string, error) {
	var known, chosen []string
	folders := map[string]bool{}
	for _, name := range append([]string{split}, otherNames[split]...) {
		for _, f := range listed {
			if !readable(f) || folder != "" && !strings.Contains("/"+path.Dir(f)+"/", "/"+folder+"/") {
				continue
			}
			known = append(known, f)
			if slices.Contains(words(f), strings.ToLower(name)) {
				chosen = append(chosen, f)
				folders[path.Dir(f)] = true
			}
		}
		if len(chosen) > 0 {
			break
		}
	}
	slices.Sort(known)
	known = slices.Compact(known)
	switch {
	case len(chosen) == 0 && len(known) == 1 && split == "train":
		return known, nil // one file and no splits: that is what there is to train on
	case len(known) == 0 && folder != "":
		return nil, invalid.Field("config", "there is no folder %q with a CSV, JSON or Parquet file; there are: %s", folder, some(listed))
	case len(chosen) == 0:
		return nil, invalid.Field("split", "no CSV, JSON or Parquet file of this data set belongs to %q; there are: %s%s", split, some(listed), slice(split))
	case len(folders) > 1:
		return nil, invalid.Field("config", "this repository holds several data sets; name the folder of one: %s", some(chosen))
	}
	slices.Sort(chosen)
	return chosen, oneFormat(split, chosen)
}

func oneFormat(split string, files []string) error {
	for _, f := range files {
		if path.Ext(f) != path.Ext(files[0]) {
			return invalid.Field("split", "the files of %q have different formats: %s", split, some(files))
		}
	}
	return nil
}

func words(file string) []string {
	return strings.FieldsFunc(strings.ToLower(file), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
}

func some(names []string) string {
	const shown = 10
	if len(names) > shown {
		return fmt.Sprintf("%s … (%d)", strings.Join(names[:shown], ", "), len(names))
	}
	return strings.Join(names, ", ")
}

// converted picks from the hub's own conversion to Parquet, whose files are
// <config>/<split>/0000.parquet, or <config>/partial-<split>/ where the hub stopped
// after the first 5 GB.
func converted(listed []string, config, split string) (files []string, partial bool, err error) {
	var configs, splits []string
	for _, f := range listed {
		parts := strings.Split(f, "/")
		if len(parts) == 3 && path.Ext(f) == ".parquet" && !slices.Contains(configs, parts[0]) {
			configs = append(configs, parts[0])
		}
	}
	folder, word := path.Split(split)
	if folder = strings.TrimSuffix(folder, "/"); config == "" {
		config = folder
	}
	c := card{}
	for _, name := range configs {
		c.configs = append(c.configs, cardConfig{name: name})
	}
	found, err := c.config(config)
	if err != nil {
		return nil, false, err
	}
	for _, f := range listed {
		parts := strings.Split(f, "/")
		if len(parts) != 3 || parts[0] != found.name || path.Ext(f) != ".parquet" {
			continue
		}
		name, part := strings.CutPrefix(parts[1], "partial-")
		if name == word {
			files, partial = append(files, f), partial || part
		} else if !slices.Contains(splits, name) {
			splits = append(splits, name)
		}
	}
	if len(files) == 0 {
		return nil, false, invalid.Field("split", "%q has no split %q; there are: %s%s", found.name, word, some(splits), slice(word))
	}
	slices.Sort(files)
	return files, partial, nil
}
