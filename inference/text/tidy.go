package text

import (
	"slices"
	"strings"
)

// Two clean-ups take out the spaces that tokens leave before punctuation. Both are
// lists of replacements made one after the other over the whole text, so that one
// may act on what another left.

// tidyToken is the clean-up of the WordPiece decoder, for one token.
func tidyToken(s string) string {
	return tidy(s, " .", ".", " ?", "?", " !", "!", " ,", ",", " ' ", "'", " n't", "n't", " 'm", "'m",
		" do not", " don't", " 's", "'s", " 've", "'ve", " 're", "'re")
}

// tidyText is clean_up_tokenization_spaces of transformers.
func tidyText(s string) string {
	return tidy(s, " .", ".", " ?", "?", " !", "!", " ,", ",", " ' ", "'", " n't", "n't", " 'm", "'m",
		" 's", "'s", " 've", "'ve", " 're", "'re")
}

func tidy(s string, rules ...string) string {
	if !strings.Contains(s, " ") {
		return s
	}
	for rule := range slices.Chunk(rules, 2) {
		s = strings.ReplaceAll(s, rule[0], rule[1])
	}
	return s
}

// tidyStage cleans a text that comes in parts. It holds back what may still change:
// a character and a space after it are a safe place to cut, since no rule reaches
// over them, unless the character is n or an apostrophe (" n ' t" becomes "n't").
type tidyStage struct{ held []byte }

func (d *tidyStage) push(s string, _ bool, out emit) {
	from := max(len(d.held), 1) // what lies before has been looked at
	d.held = append(d.held, s...)
	for i := len(d.held) - 1; i >= from; i-- {
		if c := d.held[i-1]; d.held[i] == ' ' && c != ' ' && c != 'n' && c != '\'' {
			out(tidyText(string(d.held[:i])), true)
			d.held = append(d.held[:0], d.held[i:]...)
			return
		}
	}
}

func (d *tidyStage) flush(out emit) {
	out(tidyText(string(d.held)), true)
	d.held = d.held[:0]
}
