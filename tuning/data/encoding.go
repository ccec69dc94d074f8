package data

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"unicode/utf16"
	"unicode/utf8"

	"lorikeet/adapters/invalid"
)

// encodings a text file can have. utf8Damaged is UTF-8 in which some bytes are
// wrong: they are passed on as they are, and the row that holds them is refused.
type encoding int

const (
	utf8Clean encoding = iota
	utf8Damaged
	utf16LE
	utf16BE
	cp1252
)

// decoder turns a file of unknown encoding into UTF-8. A byte order mark decides;
// else the file is UTF-8 until a byte proves otherwise. If everything before that
// byte was ASCII the file is taken for Windows-1252, in which ASCII reads the same,
// so nothing need be read twice and a file of any size streams. What cannot be
// decoded leaves here as invalid UTF-8, for the row reader to name.
type decoder struct {
	src   io.Reader
	enc   encoding
	in    []byte // undecoded; at most one chunk and the start of a character
	out   []byte // decoded, unread; a part of buf
	buf   []byte
	err   error // of src, once it has ended
	begun bool

	bom       bool
	guessed   bool // UTF-16 without a mark
	multibyte bool // some character beyond ASCII was valid UTF-8
	line      int  // of the byte looked at, from 1
	badLine   int  // of the first byte that was not UTF-8
	letters   int  // ASCII letters, once the file is cp1252
	high      int  // bytes from 0x80, likewise
	c1        int  // of these, below 0xA0: ISO-8859-1 has no characters there
	sequences int  // pairs of these that would have been UTF-8
}

const chunk = 64 << 10

func newDecoder(r io.Reader) *decoder { return &decoder{src: r, line: 1} }

func (d *decoder) Read(p []byte) (int, error) {
	for len(d.out) == 0 {
		if d.err != nil && len(d.in) == 0 {
			return 0, d.err
		}
		d.fill()
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

// head returns the first bytes of the file as they are.
func (d *decoder) head() []byte {
	if len(d.in) == 0 && !d.begun {
		d.read()
	}
	return d.in
}

// read appends a whole chunk unless the file ends: the guess about the encoding
// needs something to look at. It is not io.ReadFull, which gives the end of a file
// the name of a connection that broke.
func (d *decoder) read() {
	have := len(d.in)
	want := have + chunk
	d.in = slices.Grow(d.in, chunk)
	for d.err == nil && len(d.in) < want {
		var n int
		n, d.err = d.src.Read(d.in[len(d.in):want])
		d.in = d.in[:len(d.in)+n]
	}
}

func (d *decoder) fill() {
	d.head()
	if !d.begun {
		d.begun = true
		d.mark()
	} else {
		d.read()
	}
	d.out = d.buf[:0]
	var used int
	switch d.enc {
	case utf8Clean:
		used = d.fromUTF8()
	case utf8Damaged:
		d.out, used = append(d.out, d.in...), len(d.in)
	case utf16LE, utf16BE:
		used = d.fromUTF16()
	case cp1252:
		used = d.fromCP1252()
	}
	d.in, d.buf = append(d.in[:0], d.in[used:]...), d.out
}

// mark reads the byte order mark, or guesses UTF-16 from where the zeros are.
func (d *decoder) mark() {
	for _, m := range []struct {
		mark string
		enc  encoding
	}{{"\xEF\xBB\xBF", utf8Clean}, {"\xFF\xFE", utf16LE}, {"\xFE\xFF", utf16BE}} {
		if rest, ok := bytes.CutPrefix(d.in, []byte(m.mark)); ok {
			d.in, d.enc, d.bom = rest, m.enc, true
			return
		}
	}
	var zeros [2]int
	for i, b := range d.in {
		if b == 0 {
			zeros[i%2]++
		}
	}
	half := len(d.in) / 2
	switch {
	case half < 2:
	case zeros[1] > half*6/10 && zeros[0] < half/10:
		d.enc, d.guessed = utf16LE, true
	case zeros[0] > half*6/10 && zeros[1] < half/10:
		d.enc, d.guessed = utf16BE, true
	}
}

func (d *decoder) fromUTF8() int {
	i := 0
	for i < len(d.in) {
		if b := d.in[i]; b < utf8.RuneSelf {
			if b == '\n' {
				d.line++
			}
			i++
			continue
		}
		if !utf8.FullRune(d.in[i:]) && d.err == nil {
			break // the rest of the character is in the next chunk
		}
		r, n := utf8.DecodeRune(d.in[i:])
		if r == utf8.RuneError && n == 1 {
			d.out = append(d.out, d.in[:i]...)
			d.in = append(d.in[:0], d.in[i:]...)
			d.badLine, d.enc = d.line, utf8Damaged
			if valid, bad := sequences(d.in); !d.multibyte && !d.bom && valid <= bad {
				d.enc = cp1252
				return d.fromCP1252()
			}
			d.out = append(d.out, d.in...)
			return len(d.in)
		}
		d.multibyte = true
		i += n
	}
	d.out = append(d.out, d.in[:i]...)
	return i
}

// sequences counts the characters beyond ASCII that are valid UTF-8, and the bytes
// that are not.
func sequences(b []byte) (valid, bad int) {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && n == 1:
			bad++
		case n > 1:
			valid++
		}
		b = b[n:]
	}
	return valid, bad
}

func (d *decoder) fromUTF16() int {
	unit := func(i int) rune {
		if d.enc == utf16LE {
			return rune(d.in[i]) | rune(d.in[i+1])<<8
		}
		return rune(d.in[i])<<8 | rune(d.in[i+1])
	}
	i := 0
	for ; i+1 < len(d.in); i += 2 {
		r := unit(i)
		if utf16.IsSurrogate(r) {
			if i+3 >= len(d.in) && d.err == nil {
				return i
			}
			pair := rune(utf8.RuneError)
			if i+3 < len(d.in) {
				pair = utf16.DecodeRune(r, unit(i+2))
			}
			if pair == utf8.RuneError {
				d.out = append(d.out, 0xED, 0xA0, 0x80) // what U+D800 would be, were it allowed
				continue
			}
			r = pair
			i += 2
		}
		d.out = utf8.AppendRune(d.out, r)
	}
	if i < len(d.in) && d.err != nil {
		d.out = append(d.out, 0xFF) // half a unit at the end
		i++
	}
	return i
}

func (d *decoder) fromCP1252() int {
	valid, _ := sequences(d.in)
	d.sequences += valid
	for _, b := range d.in {
		switch {
		case b|0x20 >= 'a' && b|0x20 <= 'z':
			d.letters++
		case b >= 0x80:
			d.high++
		}
		if b < 0x80 {
			d.out = append(d.out, b)
			continue
		}
		r := rune(b)
		if b < 0xA0 {
			d.c1++
			if r = cp1252C1[b-0x80]; r == 0 {
				d.out = append(d.out, b)
				continue
			}
		}
		d.out = utf8.AppendRune(d.out, r)
	}
	return len(d.in)
}

// cp1252C1 is what Windows-1252 has at 0x80 to 0x9F, 0 where it has nothing.
// Source: unicode.org/Public/MAPPINGS/VENDORS/MICSFT/WINDOWS/CP1252.TXT
var cp1252C1 = [32]rune{
	0x20AC, 0, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017D, 0,
	0, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0, 0x017E, 0x0178,
}

// verdict says, once everything was read, what was guessed and whether it can be
// right.
func (d *decoder) verdict() (warning string, err error) {
	switch {
	case d.guessed:
		return "the file has no byte order mark and was read as UTF-16, because every second byte is zero", nil
	case d.enc == cp1252 && d.sequences*2 > d.high/2:
		return "", invalid.Line(d.badLine, "", "the file mixes UTF-8 with another encoding: save it as UTF-8")
	case d.enc == cp1252 && d.high*2 > d.letters+d.high && d.high > 8:
		return "", invalid.Line(d.badLine, "", "the file is not UTF-8, and more than half of its letters would be accented in Windows-1252: save it as UTF-8")
	case d.enc == cp1252:
		name := "ISO-8859-1 (Latin-1)"
		if d.c1 > 0 {
			name = "Windows-1252"
		}
		return fmt.Sprintf("the file is not UTF-8 (first on line %d); it was read as %s, a guess: look at its accented letters in the preview, or save it as UTF-8", d.badLine, name), nil
	}
	return "", nil
}

// foreign recognises by their first bytes files that hold no text at all.
func foreign(head []byte) error {
	for _, m := range []struct{ magic, what string }{
		{"\x1f\x8b", "is compressed with gzip: unpack it first"},
		{"PK\x03\x04", "is a ZIP archive or an Excel workbook: unpack it, or save the sheet as CSV"},
		{"BZh", "is compressed with bzip2: unpack it first"},
		{"\x28\xB5\x2F\xFD", "is compressed with Zstandard: unpack it first"},
		{"\xFD7zXZ\x00", "is compressed with xz: unpack it first"},
		{"\xD0\xCF\x11\xE0", "is an old Excel or Word file: save it as CSV"},
		{"%PDF-", "is a PDF: save its table as CSV"},
		{"ARROW1", "is an Arrow file: save it as Parquet"},
		{"SQLite format 3\x00", "is an SQLite database: export the table as CSV"},
		{"\x80\x02", "is a Python pickle, which can run code: save it as JSON lines"},
		{"\x80\x03", "is a Python pickle, which can run code: save it as JSON lines"},
		{"\x80\x04\x95", "is a Python pickle, which can run code: save it as JSON lines"},
		{"\x80\x05\x95", "is a Python pickle, which can run code: save it as JSON lines"},
		{"\xFF\xFE\x00\x00", "is UTF-32: save it as UTF-8"},
		{"\x00\x00\xFE\xFF", "is UTF-32: save it as UTF-8"},
	} {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return invalid.Line(1, "", "the file %s", m.what)
		}
	}
	return nil
}
