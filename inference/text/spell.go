package text

import "strings"

// Spell gives the bytes that a token stands for inside a text, with the space before a
// word, where Decode may need the tokens around it: a token can be half a character, and
// the first of a text loses its space. A token that the tokenizer does not know is nil.
func (t *Tokenizer) Spell(id int32) []byte {
	token, ok := t.vocab.token(id)
	if !ok {
		return nil
	}
	if t.special[id] {
		return []byte(token)
	}
	s := []byte(token)
	for _, d := range t.decoding {
		s = unstage(d.stage(), s)
	}
	return s
}

// unstage is what one stage makes of a token that has others before it.
func unstage(d stage, s []byte) []byte {
	text := string(s)
	switch d := d.(type) {
	case *levelDecoder:
		if b, ok := unspellBytes(nil, text); ok {
			return b
		}
	case *fallbackDecoder:
		if b, ok := byteToken(text); ok {
			return []byte{b}
		}
	case *metaspaceDecoder:
		return []byte(strings.ReplaceAll(text, d.space, " "))
	case replaceDecoder:
		return []byte(replaceAll(d.what, text, d.with))
	case *wordPieceDecoder:
		if rest, ok := strings.CutPrefix(text, d.prefix); ok {
			return []byte(rest)
		}
		return []byte(" " + text)
	case *suffixDecoder:
		return []byte(strings.ReplaceAll(text, d.suffix, " "))
	case *spaced:
		return []byte(" " + text)
	}
	return s // what is left joins tokens, or takes from the ends of the whole
}
