package text

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"

	"lorikeet/adapters/invalid"
)

// config is what tokenizer_config.json, special_tokens_map.json, added_tokens.json
// and config.json say about a tokenizer.
type config struct {
	Class         string      `json:"tokenizer_class"`
	Lower         *bool       `json:"do_lower_case"`
	StripAccents  *bool       `json:"strip_accents"`
	CJK           *bool       `json:"tokenize_chinese_chars"`
	PrefixSpace   *bool       `json:"add_prefix_space"`
	CleanUp       bool        `json:"clean_up_tokenization_spaces"`
	CleanUpBPE    bool        `json:"clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output"`
	MaxLength     json.Number `json:"model_max_length"`
	Side          string      `json:"truncation_side"`
	ExtraIDs      *int        `json:"extra_ids"`
	AddBOS        *bool       `json:"add_bos_token"`
	AddEOS        *bool       `json:"add_eos_token"`
	SeparateVocab bool        `json:"separate_vocabs"`

	Added map[string]tokenSpec `json:"added_tokens_decoder"` // by id

	named map[string]tokenSpec // "pad_token" and the like
	more  []tokenSpec          // special tokens without a name
}

// tokenSpec is a token in a configuration: its spelling, or an object.
type tokenSpec struct {
	Content    string
	SingleWord bool `json:"single_word"`
	Lstrip     bool
	Rstrip     bool
	Normalized *bool // the default: not if it is special
	Special    bool
}

func (s *tokenSpec) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		*s = tokenSpec{}
		return json.Unmarshal(b, &s.Content)
	}
	type object tokenSpec
	return json.Unmarshal(b, (*object)(s))
}

func (s tokenSpec) token(id int32) addedToken {
	t := addedToken{id: id, content: s.Content, singleWord: s.SingleWord, lstrip: s.Lstrip,
		rstrip: s.Rstrip, normalized: !s.Special, special: s.Special}
	if s.Normalized != nil {
		t.normalized = *s.Normalized
	}
	return t
}

// names are the special tokens that have a role.
var names = []string{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}

// readConfig reads what there is; a folder may have none of these files.
func readConfig(fsys fs.FS) (*config, error) {
	c := &config{named: map[string]tokenSpec{}}
	var model struct {
		Type string `json:"model_type"`
	}
	var byID map[string]int
	for _, file := range []struct {
		name string
		into []any
	}{
		{"config.json", []any{&model}},
		{"special_tokens_map.json", []any{(*specials)(c)}},
		{"added_tokens.json", []any{&byID}},
		{"tokenizer_config.json", []any{c, (*specials)(c)}},
	} {
		data, err := fs.ReadFile(fsys, file.name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file.name, err)
		}
		for _, into := range file.into {
			if err := json.Unmarshal(data, into); err != nil {
				return nil, invalid.Field(file.name, "%v", err)
			}
		}
	}
	if c.Class == "" {
		c.Class = model.Type
	}
	if c.Added == nil {
		c.Added = map[string]tokenSpec{}
	}
	for content, id := range byID {
		if _, ok := c.Added[strconv.Itoa(id)]; !ok {
			c.Added[strconv.Itoa(id)] = tokenSpec{Content: content}
		}
	}
	return c, nil
}

// specials reads the special tokens of a configuration, whose names lie among
// everything else.
type specials config

func (c *specials) UnmarshalJSON(b []byte) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	for _, name := range names {
		if absent(all[name]) {
			continue
		}
		var s tokenSpec
		if err := json.Unmarshal(all[name], &s); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		s.Special = true
		c.named[name] = s
	}
	for _, name := range []string{"additional_special_tokens", "extra_special_tokens"} {
		var list []tokenSpec
		if json.Unmarshal(all[name], &list) != nil { // an object in newer files: more names
			var object map[string]tokenSpec
			if !absent(all[name]) && json.Unmarshal(all[name], &object) != nil {
				return fmt.Errorf("%s: must be a list or an object of tokens", name)
			}
			for _, key := range slices.Sorted(maps.Keys(object)) {
				list = append(list, object[key])
			}
		}
		for _, s := range list {
			s.Special = true
			c.more = append(c.more, s)
		}
	}
	return nil
}

// name sets a special token that the configuration does not name itself.
func (c *config) name(name, content string) {
	if _, ok := c.named[name]; !ok {
		c.named[name] = tokenSpec{Content: content, Special: true}
	}
}

// maxLength returns model_max_length, 0 where it is the marker for "no limit".
func (c *config) maxLength() int {
	n, err := c.MaxLength.Int64()
	if err != nil || n < 0 || n > 1<<31 {
		return 0
	}
	return int(n)
}

// tokens returns every token that the configuration adds to a tokenizer that has
// those in had: by id, then special tokens that are in neither.
func (c *config) tokens(had []addedToken, vocab *vocabulary) ([]addedToken, error) {
	known := map[string]bool{}
	for _, t := range had {
		known[t.content] = true
	}
	all := slices.Clone(had)
	add := func(s tokenSpec, id int32) {
		if s.Content != "" && !known[s.Content] {
			known[s.Content] = true
			all = append(all, s.token(id))
		}
	}
	ids := map[int]tokenSpec{}
	for key, s := range c.Added {
		id, err := strconv.ParseInt(key, 10, 32)
		if err != nil {
			return nil, invalid.Field("tokenizer_config.json.added_tokens_decoder", "%q is no id", key)
		}
		ids[int(id)] = s
	}
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		add(ids[id], int32(id))
	}
	for _, name := range names {
		add(c.named[name], -1)
	}
	for _, s := range c.more {
		add(s, -1)
	}
	return settle(all, vocab)
}

// settle gives every added token its id: that of the vocabulary if it is in there,
// else its own, else the next one.
func settle(all []addedToken, vocab *vocabulary) ([]addedToken, error) {
	var faults []error
	for i := range all {
		t := &all[i]
		if id, ok := vocab.ids[t.content]; ok {
			if t.id >= 0 && t.id != id {
				faults = append(faults, invalid.Field("added_tokens", "%.40q is %d, but %d in the vocabulary", t.content, t.id, id))
			}
			t.id = id
			continue
		}
		if t.id < 0 {
			t.id = int32(len(vocab.tokens))
		}
		if err := vocab.add("added_tokens", t.content, t.id, len(vocab.ids)); err != nil {
			faults = append(faults, err)
		}
	}
	return all, errors.Join(faults...)
}
