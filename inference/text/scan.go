package text

import (
	"unicode/utf8"

	"lorikeet/inference/text/chartype"
)

// A scanner is the regular expression of a well-known tokenizer, written out: it
// returns the end of the match that begins at i < len(s). Such an expression
// matches at every place, so the matches cover the text.
type scanner func(s string, i int) int

const gpt2Expression = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

var scanners = map[string]scanner{
	gpt2Expression: scanGPT2,
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`: scanLlama3,
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`:      scanQwen2,
}

func (next scanner) each(s string, yield func(start, end int) bool) bool {
	for i := 0; i < len(s); {
		end := next(s, i)
		if !yield(i, end) {
			return false
		}
		i = end
	}
	return true
}

// glyph is the kind of character that the expressions tell apart.
type glyph uint8

const (
	symbol glyph = iota // neither of the others
	letter
	number
	space
)

var asciiGlyphs = func() (glyphs [utf8.RuneSelf]glyph) {
	for c := range glyphs {
		glyphs[c] = glyphOf(rune(c))
	}
	return
}()

func glyphOf(r rune) glyph {
	switch c := chartype.Of(r); {
	case c&chartype.Letter != 0:
		return letter
	case c&chartype.Number != 0:
		return number
	case c&chartype.Space != 0:
		return space
	}
	return symbol
}

// glyphAt returns the kind of the character at i and its length.
func glyphAt(s string, i int) (glyph, int) {
	if c := s[i]; c < utf8.RuneSelf {
		return asciiGlyphs[c], 1
	}
	r, n := utf8.DecodeRuneInString(s[i:])
	return glyphOf(r), n
}

// runOf returns where the characters of one kind end that begin at i, or just
// before it.
func runOf(s string, i int, want glyph) int {
	for i < len(s) {
		k, n := glyphAt(s, i)
		if k != want {
			break
		}
		i += n
	}
	return i
}

func scanGPT2(s string, i int) int {
	if s[i] == '\'' {
		if n := contraction(s[i+1:], false); n > 0 {
			return i + 1 + n
		}
	}
	j := i
	if s[i] == ' ' && i+1 < len(s) {
		j++
	}
	if k, n := glyphAt(s, j); k != space { // ` ?\p{L}+` and its like
		return runOf(s, j+n, k)
	}
	return scanSpace(s, i, false)
}

func scanLlama3(s string, i int) int { return scanModern(s, i, 3) }
func scanQwen2(s string, i int) int  { return scanModern(s, i, 1) }

// scanModern is the expression of GPT-4 and its heirs; digits is how many digits
// stay together.
func scanModern(s string, i, digits int) int {
	c := s[i]
	if c == '\'' {
		if n := contraction(s[i+1:], true); n > 0 {
			return i + 1 + n
		}
	}
	k, n := glyphAt(s, i)
	switch k {
	case letter:
		return runOf(s, i+n, letter)
	case number:
		for i += n; digits > 1 && i < len(s); digits-- {
			k, n := glyphAt(s, i)
			if k != number {
				break
			}
			i += n
		}
		return i
	}
	if j := i + n; c != '\r' && c != '\n' && j < len(s) { // `[^\r\n\p{L}\p{N}]?\p{L}+`
		if k, n := glyphAt(s, j); k == letter {
			return runOf(s, j+n, letter)
		}
	}
	if j := i; k == symbol || c == ' ' && i+1 < len(s) { // ` ?[^\s\p{L}\p{N}]+[\r\n]*`
		if c == ' ' {
			j++
		}
		if k, n := glyphAt(s, j); k == symbol {
			j = runOf(s, j+n, symbol)
			for j < len(s) && (s[j] == '\r' || s[j] == '\n') {
				j++
			}
			return j
		}
	}
	return scanSpace(s, i, true)
}

// scanSpace is `\s+(?!\S)|\s+`: white space, less its last character if something
// follows that could use it. With lines, `\s*[\r\n]+` goes first: the white space
// up to its last line end.
func scanSpace(s string, i int, lines bool) int {
	last, line, j := i, -1, i // the last character, the end of the last line
	for j < len(s) {
		k, n := glyphAt(s, j)
		if k != space {
			break
		}
		last = j
		j += n
		if s[last] == '\r' || s[last] == '\n' {
			line = j
		}
	}
	switch {
	case lines && line >= 0:
		return line
	case j < len(s) && last > i:
		return last
	}
	return j
}

// contraction returns the length of what follows an apostrophe in 's, 't, 're,
// 've, 'm, 'll and 'd.
func contraction(s string, fold bool) int {
	at := func(i int) byte {
		if i >= len(s) {
			return 0
		}
		if c := s[i]; fold && 'A' <= c && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return s[i]
	}
	switch a := at(0); a {
	case 's', 't', 'm', 'd':
		return 1
	case 'r', 'v':
		if at(1) == 'e' {
			return 2
		}
	case 'l':
		if at(1) == 'l' {
			return 2
		}
	}
	if fold && len(s) >= len("ſ") && s[:len("ſ")] == "ſ" { // the long s folds to s
		return len("ſ")
	}
	return 0
}
