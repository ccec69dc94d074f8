package text

import (
	"encoding/json"
	"errors"

	"lorikeet/adapters/invalid"
)

// Truncation says which text is cut when there are too many tokens.
type Truncation int

const (
	LongestFirst Truncation = iota // the longer one, then both evenly
	OnlyFirst
	OnlySecond
)

// ErrTooShort: the text to be cut is not long enough to make room.
var ErrTooShort = errors.New("text to be cut is too short")

// template says which special tokens go around one text and around two.
type template struct {
	single, pair []slot
	evenly       bool // cut as the Python tokenizers do: see cut
}

// slot is a place in a template: a text, or some special tokens.
type slot struct {
	text   int // 0: the first text, 1: the second, -1: special tokens
	ids    []int32
	typeID int32
}

// bare is the template without special tokens.
var bare = template{
	single: []slot{{text: 0}},
	pair:   []slot{{text: 0}, {text: 1, typeID: 1}},
}

// parseTemplate reads a post_processor. Of a Sequence, one member at most may add
// tokens; ByteLevel adds none.
func parseTemplate(raw json.RawMessage, field string) (template, error) {
	kind, err := componentType(raw, field)
	if err != nil || kind == "" {
		return bare, err
	}
	switch kind {
	case "ByteLevel": // trims offsets, which are not kept here
		return bare, nil
	case "TemplateProcessing":
		return parseTemplateProcessing(raw, field)
	case "BertProcessing":
		cls, sep, err := parseAround(raw, field)
		return template{
			single: []slot{cls, {text: 0}, sep},
			pair:   []slot{cls, {text: 0}, sep, {text: 1, typeID: 1}, {text: -1, ids: sep.ids, typeID: 1}},
		}, err
	case "RobertaProcessing":
		cls, sep, err := parseAround(raw, field)
		return template{
			single: []slot{cls, {text: 0}, sep},
			pair:   []slot{cls, {text: 0}, sep, sep, {text: 1}, sep},
		}, err
	case "Sequence":
		var s struct{ Processors []json.RawMessage }
		if err := parseComponent(raw, field, &s, "processors"); err != nil {
			return bare, err
		}
		whole, found := bare, false
		for i, member := range s.Processors {
			at := index(field+".processors", i)
			t, err := parseTemplate(member, at)
			if err != nil {
				return bare, err
			}
			kind, _ := componentType(member, at)
			if kind == "ByteLevel" {
				continue
			}
			if found {
				return bare, invalid.Field(at, "a second post-processor that adds tokens is not supported")
			}
			whole, found = t, true
		}
		return whole, nil
	}
	return bare, unknownType(field, "post-processor", kind)
}

// parseAround reads the two tokens of BertProcessing and RobertaProcessing, each
// written as ["[CLS]", 101].
func parseAround(raw json.RawMessage, field string) (cls, sep slot, err error) {
	var p struct{ Cls, Sep []json.RawMessage }
	if err := parseComponent(raw, field, &p, "cls", "sep"); err != nil {
		return slot{}, slot{}, err
	}
	one := func(name string, pair []json.RawMessage) (slot, error) {
		var id int32
		if len(pair) != 2 || json.Unmarshal(pair[1], &id) != nil {
			return slot{}, invalid.Field(field+"."+name, "must be a token and its id")
		}
		return slot{text: -1, ids: []int32{id}}, nil
	}
	cls, e1 := one("cls", p.Cls)
	sep, e2 := one("sep", p.Sep)
	return cls, sep, errors.Join(e1, e2)
}

func parseTemplateProcessing(raw json.RawMessage, field string) (template, error) {
	type named struct {
		ID     string
		TypeID int32 `json:"type_id"`
	}
	type part struct {
		SpecialToken, Sequence *named
	}
	var p struct {
		Single, Pair  []part
		SpecialTokens map[string]struct{ IDs []int32 } `json:"special_tokens"`
	}
	if err := parseComponent(raw, field, &p, "single", "pair", "special_tokens"); err != nil {
		return bare, err
	}
	var faults []error
	slots := func(name string, parts []part, texts int) []slot {
		var out []slot
		seen := [2]int{}
		for i, part := range parts {
			at := index(field+"."+name, i)
			switch {
			case part.SpecialToken != nil:
				token, ok := p.SpecialTokens[part.SpecialToken.ID]
				if !ok {
					faults = append(faults, invalid.Field(at, "%q is not among special_tokens", part.SpecialToken.ID))
				}
				out = append(out, slot{text: -1, ids: token.IDs, typeID: part.SpecialToken.TypeID})
			case part.Sequence != nil && part.Sequence.ID == "A":
				seen[0]++
				out = append(out, slot{text: 0, typeID: part.Sequence.TypeID})
			case part.Sequence != nil && part.Sequence.ID == "B" && texts == 2:
				seen[1]++
				out = append(out, slot{text: 1, typeID: part.Sequence.TypeID})
			default:
				faults = append(faults, invalid.Field(at, "is neither a special token nor a sequence of the template"))
			}
		}
		if seen[0] != 1 || seen[1] != texts-1 {
			faults = append(faults, invalid.Field(field+"."+name, "must hold every text once"))
		}
		return out
	}
	t := template{single: slots("single", p.Single, 1), pair: slots("pair", p.Pair, 2)}
	return t, errors.Join(faults...)
}

// join cuts the texts to size and puts the special tokens around them.
func (t *template) join(a, b []int32, paired bool, maxLen int, how Truncation, left bool) (Encoding, error) {
	slots := t.single
	if paired {
		slots = t.pair
	}
	added := 0
	for _, s := range slots {
		added += len(s.ids)
	}
	var e Encoding
	if maxLen > 0 && len(a)+len(b)+added > maxLen {
		n, m, err := t.cut(len(a), len(b), max(maxLen-added, 0), paired, how)
		if err != nil {
			return Encoding{}, err
		}
		a, b = shorten(a, n, left), shorten(b, m, left)
		e.Truncated = true
	}
	total := len(a) + len(b) + added
	e.IDs = make([]int32, 0, total)
	e.TypeIDs = make([]int32, 0, total)
	for _, s := range slots {
		ids := s.ids
		switch s.text {
		case 0:
			ids = a
		case 1:
			ids = b
		}
		e.IDs = append(e.IDs, ids...)
		for range ids {
			e.TypeIDs = append(e.TypeIDs, s.typeID)
		}
	}
	if maxLen > 0 && len(e.IDs) > maxLen { // not even the special tokens fit
		e.IDs, e.TypeIDs = e.IDs[:maxLen], e.TypeIDs[:maxLen]
	}
	return e, nil
}

func shorten(ids []int32, n int, left bool) []int32 {
	if left {
		return ids[len(ids)-n:]
	}
	return ids[:n]
}

// cut returns how many tokens remain of texts of n and m tokens if room is for
// fewer than both.
func (t *template) cut(n, m, room int, paired bool, how Truncation) (int, int, error) {
	switch {
	case how == OnlyFirst || !paired && how == LongestFirst:
		if n = room - m; n <= 0 && how == OnlyFirst {
			return 0, 0, ErrTooShort
		}
		return n, m, nil
	case how == OnlySecond:
		if m = room - n; m <= 0 {
			return 0, 0, ErrTooShort
		}
		return n, m, nil
	}
	short := min(n, m)
	long := max(short, room-short)
	if short+long > room {
		// Both are cut to half. An odd token out goes to the longer text, or to
		// the first one in the tokenizers written in Python.
		short, long = room/2, room-room/2
		if t.evenly {
			return long, short, nil
		}
	}
	if n > m {
		return long, short, nil
	}
	return short, long, nil
}
