package text

import (
	"strings"
	"unicode/utf8"

	"lorikeet/inference/text/spm"
)

// spmNormalizer is normalization as SentencePiece itself does it (normalizer.cc).
// It maps the longest text the character map knows, where tokenizers' Precompiled
// takes the shortest, and deals with spaces on the way.
type spmNormalizer struct {
	charsmap *charsmap
	user     *trie // tokens that are left as they are; nil: none
	dummy    bool  // a space goes before the text, or with after behind it
	squeeze  bool  // spaces at both ends, and all but one between words, go
	after    bool
	space    string // how a space is written
}

func newSPMNormalizer(m *spm.Model) (*spmNormalizer, error) {
	c, err := parseCharsmap(m.Charsmap, "normalizer_spec.precompiled_charsmap")
	if err != nil {
		return nil, err
	}
	n := &spmNormalizer{charsmap: c, dummy: m.AddDummyPrefix, squeeze: m.RemoveExtraSpace, after: m.SpaceAfter, space: " "}
	if m.EscapeSpace {
		n.space = spaceMark
	}
	var user []entry
	for i, p := range m.Pieces {
		if p.Kind == spm.UserDefined {
			user = append(user, entry{p.Text, int32(i)})
		}
	}
	if len(user) > 0 {
		n.user = newTrie(user)
	}
	return n, nil
}

func (n *spmNormalizer) normalize(p piece) piece {
	s := p.text
	if n.squeeze {
		for s != "" {
			with, size := n.prefix(s)
			if with != " " {
				break
			}
			s = s[size:]
		}
	}
	if s == "" {
		p.text = ""
		return p
	}
	b := make([]byte, 0, len(s)+len(s)/2+len(n.space))
	if n.dummy && !n.after {
		b = append(b, n.space...)
	}
	afterSpace := n.squeeze
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf && n.user == nil && (n.charsmap == nil || n.charsmap.stays(s, i)) {
			i++
			if c != ' ' {
				b = append(b, c)
				afterSpace = false
				continue
			}
			if !afterSpace {
				b = append(b, n.space...)
			}
			afterSpace = n.squeeze
			continue
		}
		with, size := n.prefix(s[i:])
		i += size
		if afterSpace {
			with = strings.TrimLeft(with, " ")
		}
		if with == "" {
			continue
		}
		afterSpace = n.squeeze && strings.HasSuffix(with, " ")
		if n.space != " " && strings.Contains(with, " ") {
			with = strings.ReplaceAll(with, " ", n.space)
		}
		b = append(b, with...)
	}
	if n.squeeze {
		for len(b) >= len(n.space) && string(b[len(b)-len(n.space):]) == n.space {
			b = b[:len(b)-len(n.space)]
		}
	}
	if n.dummy && n.after {
		b = append(b, n.space...)
	}
	p.text = string(b)
	return p
}

// prefix returns what the beginning of s becomes, and the length of that beginning.
func (n *spmNormalizer) prefix(s string) (with string, size int) {
	if n.user != nil {
		if _, size := n.user.longest(s); size > 0 {
			return s[:size], size
		}
	}
	if n.charsmap != nil {
		if size, with := n.charsmap.longest(s); size > 0 {
			return with, size
		}
	}
	_, size = utf8.DecodeRuneInString(s)
	return s[:size], size
}
