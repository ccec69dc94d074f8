package text

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"lorikeet/adapters/invalid"
	"lorikeet/inference/text/chartype"
)

// parseSplitter reads a pre_tokenizer of tokenizer.json; nil for null.
func parseSplitter(raw json.RawMessage, field string) (splitters, error) {
	kind, err := componentType(raw, field)
	if err != nil || kind == "" {
		return nil, err
	}
	one := func(p pattern, b behavior) (splitters, error) { return splitters{cutter{at: p, behavior: b}}, nil }
	switch kind {
	case "Sequence":
		var s struct {
			Members []json.RawMessage `json:"pretokenizers"`
		}
		if err := parseComponent(raw, field, &s, "pretokenizers"); err != nil {
			return nil, err
		}
		var all splitters
		for i, member := range s.Members {
			part, err := parseSplitter(member, index(field+".pretokenizers", i))
			if err != nil {
				return nil, err
			}
			all = append(all, part...)
		}
		return all, nil
	case "BertPreTokenizer":
		return splitters{bertSplitter{}}, nil
	case "ByteLevel":
		b := struct {
			PrefixSpace bool `json:"add_prefix_space"`
			UseRegex    bool `json:"use_regex"`
		}{UseRegex: true}
		if err := parseComponent(raw, field, &b, "add_prefix_space"); err != nil {
			return nil, err
		}
		return byteLevel(b.PrefixSpace, b.UseRegex), nil
	case "Metaspace":
		m, err := parseMetaspace(raw, field)
		return splitters{m}, err
	case "WhitespaceSplit":
		return one(classMatch(isSpace), removed)
	case "Whitespace":
		return splitters{wordSplitter{}}, nil
	case "Punctuation":
		p := struct{ Behavior string }{"Isolated"}
		if err := parseComponent(raw, field, &p); err != nil {
			return nil, err
		}
		b, err := parseBehavior(p.Behavior, field)
		return splitters{cutter{at: classMatch(isPunct), behavior: b}}, err
	case "Digits":
		var d struct {
			Each bool `json:"individual_digits"`
		}
		if err := parseComponent(raw, field, &d, "individual_digits"); err != nil {
			return nil, err
		}
		if d.Each {
			return one(classMatch(isNumeric), isolated)
		}
		return one(classMatch(isNumeric), contiguous)
	case "CharDelimiterSplit":
		var d struct{ Delimiter string }
		if err := parseComponent(raw, field, &d, "delimiter"); err != nil {
			return nil, err
		}
		r, err := oneRune(field+".delimiter", d.Delimiter)
		return splitters{cutter{at: literal(string(r)), behavior: removed}}, err
	case "Split":
		var s struct {
			Pattern  json.RawMessage
			Behavior string
			Invert   bool
		}
		if err := parseComponent(raw, field, &s, "pattern", "behavior", "invert"); err != nil {
			return nil, err
		}
		p, err := parsePattern(s.Pattern, field+".pattern")
		if err != nil {
			return nil, err
		}
		b, err := parseBehavior(s.Behavior, field)
		return splitters{cutter{p, b, s.Invert}}, err
	}
	return nil, unknownType(field, "pre-tokenizer", kind)
}

// splitters cut one after the other, each what the one before it left.
type splitters []splitter

func (all splitters) split(p piece, yield func(piece) bool) bool {
	switch len(all) {
	case 0:
		return yield(p)
	case 1:
		return all[0].split(p, yield)
	}
	rest := all[1:]
	return all[0].split(p, func(q piece) bool { return rest.split(q, yield) })
}

func isPunct(r rune) bool   { return chartype.Is(r, chartype.Punct) }
func isNumeric(r rune) bool { return chartype.Is(r, chartype.Numeric) }

// bertSplitter leaves out white space and sets every punctuation mark apart.
type bertSplitter struct{}

func (bertSplitter) split(p piece, yield func(piece) bool) bool {
	s, start := p.text, 0
	for i := 0; i < len(s); {
		r, n := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRuneInString(s[i:])
		}
		c := chartype.Of(r)
		if c&(chartype.Space|chartype.Punct) == 0 {
			i += n
			continue
		}
		if start < i && !yield(piece{s[start:i], p.head && start == 0}) {
			return false
		}
		if c&chartype.Space == 0 && !yield(piece{s[i : i+n], p.head && i == 0}) {
			return false
		}
		i += n
		start = i
	}
	return start == len(s) || yield(piece{s[start:], p.head && start == 0})
}

// wordSplitter is `\w+|[^\w\s]+`: runs of word characters and runs of symbols.
type wordSplitter struct{}

func (wordSplitter) split(p piece, yield func(piece) bool) bool {
	s, start := p.text, 0
	before := chartype.Space
	for i, r := range s {
		now := chartype.Class(0)
		switch c := chartype.Of(r); {
		case c&chartype.Word != 0:
			now = chartype.Word
		case c&chartype.Space != 0:
			now = chartype.Space
		}
		if now == before {
			continue
		}
		if before != chartype.Space && !yield(piece{s[start:i], p.head && start == 0}) {
			return false
		}
		start, before = i, now
	}
	return before == chartype.Space || yield(piece{s[start:], p.head && start == 0})
}

// metaspace writes spaces as a visible character, puts one in front and cuts
// before each, as SentencePiece does.
type metaspace struct {
	space  string
	scheme scheme
	whole  bool // do not cut
}

type scheme uint8

const (
	always scheme = iota // a space goes in front of every stretch of text
	first                // only where the caller's text starts
	never
)

func parseMetaspace(raw json.RawMessage, field string) (metaspace, error) {
	m := struct {
		Replacement string
		Scheme      *string `json:"prepend_scheme"`
		Legacy      *bool   `json:"add_prefix_space"`
		Split       bool
	}{Split: true}
	if err := parseComponent(raw, field, &m, "replacement"); err != nil {
		return metaspace{}, err
	}
	r, err := oneRune(field+".replacement", m.Replacement)
	if err != nil {
		return metaspace{}, err
	}
	out := metaspace{space: string(r), whole: !m.Split}
	if m.Scheme == nil {
		if m.Legacy != nil && !*m.Legacy {
			out.scheme = never
		}
		return out, nil
	}
	switch *m.Scheme {
	case "always":
		out.scheme = always
	case "first":
		out.scheme = first
	case "never":
		out.scheme = never
	default:
		return out, invalid.Field(field+".prepend_scheme", "%q is not supported", *m.Scheme)
	}
	if m.Legacy != nil && !*m.Legacy && out.scheme != never {
		return out, invalid.Field(field+".add_prefix_space", "contradicts prepend_scheme %q", *m.Scheme)
	}
	return out, nil
}

func (m metaspace) split(p piece, yield func(piece) bool) bool {
	s := p.text
	if m.space != " " {
		s = strings.ReplaceAll(s, " ", m.space)
	}
	if (m.scheme == always || m.scheme == first && p.head) && !strings.HasPrefix(s, m.space) {
		s = m.space + s
	}
	if m.whole {
		return yield(piece{s, p.head})
	}
	for start := 0; start < len(s); {
		end := len(s)
		if _, n := utf8.DecodeRuneInString(s[start:]); start+n < len(s) {
			if i := strings.Index(s[start+n:], m.space); i >= 0 {
				end = start + n + i
			}
		}
		if !yield(piece{s[start:end], p.head && start == 0}) {
			return false
		}
		start = end
	}
	return true
}
