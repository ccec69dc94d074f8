package text

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// spaced puts a space between tokens.
type spaced struct{ begun bool }

func (d *spaced) push(s string, start bool, out emit) {
	if start && d.begun {
		s = " " + s
	}
	d.begun = true
	out(s, start)
}
func (d *spaced) flush(emit) {}

// fuse makes all tokens one.
type fuse struct{ begun bool }

func (d *fuse) push(s string, _ bool, out emit) {
	out(s, !d.begun)
	d.begun = true
}
func (d *fuse) flush(emit) {}

// levelDecoder turns the characters of byte-level BPE back into bytes. Characters
// may be spread over tokens, so an unfinished one waits.
type levelDecoder struct {
	held  []byte
	begun bool
}

func (d *levelDecoder) push(s string, _ bool, out emit) {
	var ok bool
	if d.held, ok = unspellBytes(d.held, s); !ok {
		d.held = append(d.held, s...)
	}
	d.write(false, out)
}

func (d *levelDecoder) flush(out emit) { d.write(true, out) }

func (d *levelDecoder) write(last bool, out emit) {
	s, rest := lossy(d.held, last)
	d.held = append(d.held[:0], rest...)
	if s != "" {
		out(s, !d.begun)
		d.begun = true
	}
}

// lossy reads UTF-8. Every longest stretch that begins a character and does not
// end it becomes U+FFFD; at the end of b it is returned as the rest instead,
// unless nothing follows (last).
func lossy(b []byte, last bool) (s string, rest []byte) {
	var out []byte
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r != utf8.RuneError || n > 1 {
			out = append(out, b[i:i+n]...)
			i += n
			continue
		}
		if !last && !utf8.FullRune(b[i:]) {
			return string(out), b[i:]
		}
		for i+n < len(b) && !utf8.FullRune(b[i:i+n+1]) {
			n++
		}
		if !utf8.FullRune(b[i:]) {
			n = len(b) - i
		}
		out = append(out, "\ufffd"...)
		i += n
	}
	return string(out), nil
}

// fallbackDecoder turns runs of <0x00> to <0xFF> into characters, or each into
// U+FFFD if the run as a whole is no UTF-8. A run waits for its end.
type fallbackDecoder struct{ run []byte }

func (d *fallbackDecoder) push(s string, start bool, out emit) {
	if b, ok := byteToken(s); ok && start {
		d.run = append(d.run, b)
		return
	}
	d.flush(out)
	out(s, start)
}

// byteToken reads <0x00> to <0xFF>.
func byteToken(s string) (b byte, ok bool) {
	if len(s) != len("<0x00>") || !strings.HasPrefix(s, "<0x") || s[5] != '>' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[3:5], 16, 8)
	return byte(n), err == nil
}

func (d *fallbackDecoder) flush(out emit) {
	if utf8.Valid(d.run) {
		if len(d.run) > 0 {
			out(string(d.run), true)
		}
	} else {
		for range d.run {
			out("\ufffd", true)
		}
	}
	d.run = d.run[:0]
}

// metaspaceDecoder turns the visible spaces back, and drops those of the first
// token, which encoding put there.
type metaspaceDecoder struct {
	space string
	keep  bool // those of the first token too
	begun bool
}

func (d *metaspaceDecoder) push(s string, start bool, out emit) {
	with := " "
	if !d.begun && !d.keep {
		with = ""
	}
	d.begun = true
	out(strings.ReplaceAll(s, d.space, with), start)
}
func (d *metaspaceDecoder) flush(emit) {}

type replaceDecoder struct {
	what pattern
	with string
}

func (d replaceDecoder) push(s string, start bool, out emit) {
	out(replaceAll(d.what, s, d.with), start)
}
func (d replaceDecoder) flush(emit) {}

// wordPieceDecoder puts a space before every token that is no continuation.
type wordPieceDecoder struct {
	prefix string
	tidy   bool
	begun  bool
}

func (d *wordPieceDecoder) push(s string, start bool, out emit) {
	if d.begun {
		if t, ok := strings.CutPrefix(s, d.prefix); ok {
			s = t
		} else {
			s = " " + s
		}
	}
	d.begun = true
	if d.tidy {
		s = tidyToken(s)
	}
	out(s, start)
}
func (d *wordPieceDecoder) flush(emit) {}

// suffixDecoder turns the mark of a word's last token into a space, except at the
// end of the text.
type suffixDecoder struct {
	suffix string
	held   string
	begun  bool
}

func (d *suffixDecoder) push(s string, _ bool, out emit) {
	if d.begun {
		out(strings.ReplaceAll(d.held, d.suffix, " "), true)
	}
	d.held, d.begun = s, true
}

func (d *suffixDecoder) flush(out emit) {
	if d.begun {
		out(strings.ReplaceAll(d.held, d.suffix, ""), true)
	}
	d.begun = false
}

// stripDecoder takes up to start of a character from the front of every token and
// up to stop from its end.
type stripDecoder struct {
	char        string
	start, stop int
	front       int // how many may still go from the front of this token
	held        int // how many at its end, so far, are to go
}

func (d *stripDecoder) push(s string, start bool, out emit) {
	if start {
		d.front, d.held = d.start, 0
	}
	for d.front > 0 && s != "" {
		t, ok := strings.CutPrefix(s, d.char)
		if !ok {
			d.front = 0
			break
		}
		s = t
		d.front--
	}
	s = strings.Repeat(d.char, d.held) + s
	d.held = 0
	for d.held < d.stop {
		t, ok := strings.CutSuffix(s, d.char)
		if !ok {
			break
		}
		s = t
		d.held++
	}
	out(s, start)
}
func (d *stripDecoder) flush(emit) {}

// whole puts the parts of tokens together.
type whole struct {
	token strings.Builder
	begun bool
}

func (d *whole) push(s string, start bool, out emit) {
	if start {
		d.flush(out)
		d.begun = true
	}
	d.token.WriteString(s)
}

func (d *whole) flush(out emit) {
	if d.begun {
		out(d.token.String(), true)
	}
	d.token.Reset()
	d.begun = false
}
