package datasets

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"lorikeet/adapters/invalid"
)

// card is what the README.md of a repository says of its data, in the YAML before its
// text: https://huggingface.co/docs/hub/datasets-manual-configuration and, for
// dataset_info, what the datasets library writes there.
type card struct {
	configs []cardConfig
	classes map[string]map[string][]string // config → column → names of its classes
}

// cardConfig is one data set of a repository.
type cardConfig struct {
	name     string
	standard bool        // the one that is meant where none is named
	dir      string      // of its files
	splits   []cardSplit // none: told from the names of the files
}

type cardSplit struct {
	name     string
	patterns []string // globs below dir
}

// onlyConfig is what a data set is called that has no name.
const onlyConfig = "default"

// maxCard bounds the front matter; the hub shows no README.md beyond 5 MB.
const maxCard = 5 << 20

var dashes = []byte("---")

// parseCard reads a README.md. One without front matter says nothing, which is no
// fault; front matter that cannot be understood is, since it may say which files are
// which.
func parseCard(readme []byte) (card, error) {
	c := card{classes: map[string]map[string][]string{}}
	front, ok := frontMatter(readme)
	if !ok {
		return c, nil
	}
	if len(front) > maxCard {
		return c, invalid.Line(1, "README.md", "its front matter has %d bytes, at most %d are read", len(front), maxCard)
	}
	var doc struct {
		Configs any `yaml:"configs"`
		Info    any `yaml:"dataset_info"`
	}
	if err := yaml.Unmarshal(front, &doc); err != nil {
		return c, invalid.Line(1, "README.md", "its front matter is not YAML: %.300v", err)
	}
	for i, v := range list(doc.Configs) {
		config, err := readConfig(v, fmt.Sprintf("configs[%d]", i))
		if err != nil {
			return c, err
		}
		c.configs = append(c.configs, config)
	}
	for _, v := range list(doc.Info) {
		info := mapping(v)
		name, _ := info["config_name"].(string)
		if name == "" {
			name = onlyConfig
		}
		c.classes[name] = classNames(info["features"])
	}
	return c, nil
}

// frontMatter is what stands between a first line of dashes and the next.
func frontMatter(readme []byte) ([]byte, bool) {
	readme = bytes.TrimPrefix(readme, []byte("\xef\xbb\xbf"))
	first, rest, _ := bytes.Cut(readme, []byte("\n"))
	if !bytes.Equal(bytes.TrimRight(first, " \t\r"), dashes) {
		return nil, false
	}
	for at := 0; at < len(rest); {
		line, _, _ := bytes.Cut(rest[at:], []byte("\n"))
		if bytes.Equal(bytes.TrimRight(line, " \t\r"), dashes) {
			return rest[:at], true
		}
		at += len(line) + 1
	}
	return nil, false
}

// readConfig reads {config_name, data_files, data_dir, default}. data_files is a glob
// or several, which are the split train; a mapping from split to globs; or a list of
// {split, path}.
func readConfig(v any, field string) (cardConfig, error) {
	m := mapping(v)
	if m == nil {
		return cardConfig{}, invalid.Line(1, "README.md", "%s is not a mapping", field)
	}
	c := cardConfig{name: onlyConfig}
	if name, ok := m["config_name"].(string); ok && name != "" {
		c.name = name
	}
	c.standard, _ = m["default"].(bool)
	if dir, ok := m["data_dir"].(string); ok && dir != "" {
		c.dir = path.Clean(dir)
	}
	bad := func(what string) (cardConfig, error) {
		return cardConfig{}, invalid.Line(1, "README.md", "%s.data_files: %s", field, what)
	}
	add := func(split string, paths any) bool {
		for _, p := range list(paths) {
			glob, ok := p.(string)
			if !ok || glob == "" {
				return false
			}
			at := slices.IndexFunc(c.splits, func(s cardSplit) bool { return s.name == split })
			if at < 0 {
				at = len(c.splits)
				c.splits = append(c.splits, cardSplit{name: split})
			}
			c.splits[at].patterns = append(c.splits[at].patterns, glob)
		}
		return true
	}
	files := m["data_files"]
	if splits := mapping(files); splits != nil {
		for _, name := range slices.Sorted(maps.Keys(splits)) {
			if !add(name, splits[name]) {
				return bad("a split has something else than paths")
			}
		}
		return c, nil
	}
	for _, f := range list(files) {
		one := mapping(f)
		if one == nil {
			if !add("train", f) {
				return bad("is neither a path nor a list of them")
			}
			continue
		}
		split, ok := one["split"].(string)
		if !ok || !add(split, one["path"]) {
			return bad("an entry lacks its split or its path")
		}
	}
	return c, nil
}

// classNames finds the columns of the type ClassLabel:
//
//	features:
//	- name: label
//	  dtype: {class_label: {names: {'0': neg, '1': pos}}}
func classNames(features any) map[string][]string {
	found := map[string][]string{}
	for _, f := range list(features) {
		feature := mapping(f)
		column, _ := feature["name"].(string)
		label := mapping(mapping(feature["dtype"])["class_label"])
		if column == "" || label == nil {
			continue
		}
		var names []string
		if byIndex := mapping(label["names"]); byIndex != nil {
			for i := 0; i < len(byIndex); i++ {
				name, ok := byIndex[strconv.Itoa(i)]
				if !ok {
					names = nil // a gap: the numbers say more than names that may be wrong
					break
				}
				names = append(names, fmt.Sprint(name))
			}
		} else {
			for _, name := range list(label["names"]) {
				names = append(names, fmt.Sprint(name))
			}
		}
		if len(names) > 0 {
			found[column] = names
		}
	}
	return found
}

// list is a value of YAML as a list: itself, nothing, or the one value.
func list(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

// mapping is a value of YAML as a mapping from texts; nil where it is something else.
func mapping(v any) map[string]any {
	switch v := v.(type) {
	case map[string]any:
		return v
	case map[any]any: // with a key that is no text, as the 0 of {0: neg}
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[fmt.Sprint(k)] = e
		}
		return m
	}
	return nil
}
