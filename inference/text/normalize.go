package text

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"lorikeet/adapters/invalid"
	"lorikeet/inference/text/chartype"
)

// parseNormalizer reads a normalizer of tokenizer.json; nil for null.
func parseNormalizer(raw json.RawMessage, field string) (normalizer, error) {
	kind, err := componentType(raw, field)
	if err != nil || kind == "" {
		return nil, err
	}
	switch kind {
	case "Sequence":
		var s struct{ Normalizers []json.RawMessage }
		if err := parseComponent(raw, field, &s, "normalizers"); err != nil {
			return nil, err
		}
		var all normalizers
		for i, member := range s.Normalizers {
			n, err := parseNormalizer(member, index(field+".normalizers", i))
			if err != nil {
				return nil, err
			}
			if n != nil {
				all = append(all, n)
			}
		}
		return all, nil
	case "BertNormalizer":
		var b struct {
			CleanText    bool  `json:"clean_text"`
			CJK          bool  `json:"handle_chinese_chars"`
			StripAccents *bool `json:"strip_accents"`
			Lowercase    bool
		}
		if err := parseComponent(raw, field, &b, "clean_text", "handle_chinese_chars", "lowercase"); err != nil {
			return nil, err
		}
		n := bertNormalizer{clean: b.CleanText, cjk: b.CJK, lower: b.Lowercase, strip: b.Lowercase}
		if b.StripAccents != nil {
			n.strip = *b.StripAccents
		}
		return n, nil
	case "NFC":
		return formNormalizer{formC}, nil
	case "NFD":
		return formNormalizer{formD}, nil
	case "NFKC":
		return formNormalizer{formKC}, nil
	case "NFKD":
		return formNormalizer{formKD}, nil
	case "Lowercase":
		return lowercase{}, nil
	case "StripAccents":
		return dropMarks{}, nil
	case "Nmt":
		return nmt{}, nil
	case "ByteLevel":
		return byteLevelNormalizer{}, nil
	case "Strip":
		var s struct {
			Left  bool `json:"strip_left"`
			Right bool `json:"strip_right"`
		}
		err := parseComponent(raw, field, &s, "strip_left", "strip_right")
		return strip{s.Left, s.Right}, err
	case "Prepend":
		var p struct{ Prepend string }
		err := parseComponent(raw, field, &p, "prepend")
		return prepend{p.Prepend}, err
	case "Replace":
		var r struct {
			Pattern json.RawMessage
			Content string
		}
		if err := parseComponent(raw, field, &r, "pattern", "content"); err != nil {
			return nil, err
		}
		p, err := parsePattern(r.Pattern, field+".pattern")
		return replace{p, r.Content}, err
	case "Precompiled":
		var p struct {
			Charsmap string `json:"precompiled_charsmap"`
		}
		if err := parseComponent(raw, field, &p, "precompiled_charsmap"); err != nil {
			return nil, err
		}
		blob, err := base64.StdEncoding.DecodeString(p.Charsmap)
		if err != nil {
			return nil, invalid.Field(field+".precompiled_charsmap", "%v", err)
		}
		m, err := parseCharsmap(blob, field+".precompiled_charsmap")
		return precompiled{m}, err
	}
	return nil, unknownType(field, "normalizer", kind)
}

// normalizers run one after the other.
type normalizers []normalizer

func (all normalizers) normalize(p piece) piece {
	for _, n := range all {
		p = n.normalize(p)
	}
	return p
}

type lowercase struct{}

func (lowercase) normalize(p piece) piece {
	b := make([]byte, 0, len(p.text))
	for _, r := range p.text {
		b = chartype.Lower(b, r)
	}
	p.text = string(b)
	return p
}

// keepRunes keeps the characters of p that are asked for.
func keepRunes(p piece, keep func(rune) bool) piece {
	for i, r := range p.text {
		if keep(r) {
			continue
		}
		p.head = p.head && i > 0
		p.text = p.text[:i] + strings.Map(func(r rune) rune {
			if keep(r) {
				return r
			}
			return -1
		}, p.text[i:])
		return p
	}
	return p
}

// dropMarks drops combining characters. It takes nothing apart itself: files put
// NFD before it.
type dropMarks struct{}

func (dropMarks) normalize(p piece) piece {
	return keepRunes(p, func(r rune) bool { return !chartype.Is(r, chartype.Mark) })
}

// nmt drops control characters and turns unusual spaces into ordinary ones.
type nmt struct{}

func (nmt) normalize(p piece) piece {
	p = keepRunes(p, func(r rune) bool {
		return !(1 <= r && r <= 8 || r == 0x0b || 0x0e <= r && r <= 0x1f || r == 0x7f || r == 0x8f || r == 0x9f)
	})
	p.text = strings.Map(func(r rune) rune {
		switch {
		case r == '\t', r == '\n', r == '\f', r == '\r', r == 0x1680,
			0x200b <= r && r <= 0x200f, r == 0x2028, r == 0x2029, r == 0x2581, r == 0xfeff, r == 0xfffd:
			return ' '
		}
		return r
	}, p.text)
	return p
}

type strip struct{ left, right bool }

func (s strip) normalize(p piece) piece {
	if s.left {
		t := strings.TrimLeftFunc(p.text, isSpace)
		p.head = p.head && len(t) == len(p.text)
		p.text = t
	}
	if s.right {
		p.text = strings.TrimRightFunc(p.text, isSpace)
	}
	return p
}

type prepend struct{ text string }

func (n prepend) normalize(p piece) piece {
	if p.text != "" {
		p.text = n.text + p.text
	}
	return p
}

type replace struct {
	what pattern
	with string
}

func (n replace) normalize(p piece) piece {
	n.what.each(p.text, func(start, end int) bool {
		// What stands for several characters counts as standing at the last.
		if start == 0 && (n.with == "" || utf8.RuneCountInString(p.text[:end]) > 1) {
			p.head = false
		}
		return false
	})
	p.text = replaceAll(n.what, p.text, n.with)
	return p
}

type byteLevelNormalizer struct{}

func (byteLevelNormalizer) normalize(p piece) piece {
	p.text = spellBytes(p.text)
	return p
}
