package text

import (
	"strings"
	"testing"
)

// What the tokens of a text spell is the text, but for the spaces that encoding puts
// before its first word and that decoding tidies away.
func TestTokensSpellTheText(t *testing.T) {
	each(t, func(t *testing.T, tok *Tokenizer) {
		for _, s := range []string{"abc", "ab ba cab", "a  b"} {
			ids := tok.EncodePlain(s)
			var spelled strings.Builder
			for _, id := range ids {
				if tok.Special(id) {
					t.Skipf("%q is not in the vocabulary", s)
				}
				spelled.Write(tok.Spell(id))
			}
			if got, want := strings.TrimSpace(spelled.String()), tok.Decode(ids, true); got != strings.TrimSpace(want) {
				t.Errorf("%q: the tokens spell %q, the text is %q", s, got, want)
			}
		}
	})
}

func TestSpellGivesBytes(t *testing.T) {
	tok := load(t, folder("tokenizer.json", tinyLevel()))
	ids := tok.EncodePlain("é")
	if len(ids) != 2 {
		t.Skip("one token")
	}
	if got := string(tok.Spell(ids[0])) + string(tok.Spell(ids[1])); got != "é" || tok.Spell(1<<30) != nil || tok.Spell(-1) != nil {
		t.Errorf("half characters spell %q", got)
	}
}
