package jinja

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

var escapes = map[byte]string{'\\': "\\", '\'': "'", '"': `"`, 'n': "\n", 'r': "\r", 't': "\t",
	'a': "\a", 'b': "\b", 'f': "\f", 'v': "\v", '\n': ""}

// unescape reads the escapes of a Python string; one that Python does not know stays.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		c := s[i]
		plain, known := escapes[c]
		digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
		switch {
		case known:
			b.WriteString(plain)
		case digits > 0:
			if i+digits >= len(s) {
				fail(`\%c needs %d digits`, c, digits)
			}
			b.WriteRune(codePoint(s[i+1:i+1+digits], 16))
			i += digits
		case c >= '0' && c <= '7':
			n := 1
			for n < 3 && i+n < len(s) && s[i+n] >= '0' && s[i+n] <= '7' {
				n++
			}
			b.WriteRune(codePoint(s[i:i+n], 8))
			i += n - 1
		case c == 'N':
			fail(`characters by name (\N) are not supported`)
		default:
			b.WriteByte('\\')
			b.WriteByte(c)
		}
	}
	return b.String()
}

func codePoint(digits string, base int) rune {
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil || n > utf8.MaxRune || !utf8.ValidRune(rune(n)) {
		fail("%q is no character", digits)
	}
	return rune(n)
}
