package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"unicode/utf8"

	"lorikeet/adapters/invalid"
)

// parser reads a header. After a mistake everything it gives is zero.
type parser struct {
	r     *bufio.Reader
	at    int64
	limit int64 // of the header's bytes
	err   error
}

func newParser(r io.ReaderAt, size int64) *parser {
	return &parser{r: bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 64<<10), limit: min(size, maxHeader)}
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = invalid.Field("header", format, args...)
	}
}

// has reports whether n items of size bytes each can be in the rest of the header.
func (p *parser) has(n uint64, size int64) bool {
	if p.err == nil && n > uint64(p.limit-p.at)/uint64(size) { // #nosec G115 -- neither is negative
		p.fail("byte %d: the header ends too soon, or has more than %d bytes", p.at, int64(maxHeader))
	}
	return p.err == nil
}

func (p *parser) take(n uint64) []byte {
	if !p.has(n, 1) {
		return nil
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(p.r, b); err != nil {
		if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			p.err = fmt.Errorf("read the header: %w", err)
		}
		p.fail("the file ends at byte %d, within the header", p.at)
		return nil
	}
	p.at += int64(n) // #nosec G115 -- has looked: no more than the header
	return b
}

func (p *parser) u32() uint32 {
	if b := p.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (p *parser) u64() uint64 {
	if b := p.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (p *parser) text() string {
	s := string(p.take(p.u64()))
	if !utf8.ValidString(s) {
		p.fail("byte %d: a text is no UTF-8", p.at)
	}
	return s
}

// The types of metadata, and the bytes of those that have a size.
const (
	isUint8 = iota
	isInt8
	isUint16
	isInt16
	isUint32
	isInt32
	isFloat32
	isBool
	isText
	isArray
	isUint64
	isInt64
	isFloat64
)

var sizes = map[uint32]int64{isUint8: 1, isInt8: 1, isUint16: 2, isInt16: 2, isUint32: 4, isInt32: 4, isFloat32: 4,
	isBool: 1, isUint64: 8, isInt64: 8, isFloat64: 8}

// value reads a value of the metadata: see File.meta.
func (p *parser) value(kind uint32) any {
	switch kind {
	case isText:
		return p.text()
	case isArray:
		return p.array()
	}
	if sizes[kind] == 0 {
		p.fail("byte %d: unknown type of value %d", p.at, kind)
		return nil
	}
	b := p.take(uint64(sizes[kind])) // #nosec G115 -- of the table above
	if b == nil {
		return nil
	}
	return p.number(kind, b)
}

func (p *parser) number(kind uint32, b []byte) any {
	switch kind {
	case isUint8:
		return int64(b[0])
	case isInt8:
		return int64(int8(b[0])) // #nosec G115 -- the bits of a signed number
	case isUint16:
		return int64(binary.LittleEndian.Uint16(b))
	case isInt16:
		return int64(int16(binary.LittleEndian.Uint16(b))) // #nosec G115 -- the bits of a signed number
	case isUint32:
		return int64(binary.LittleEndian.Uint32(b))
	case isInt32:
		return int64(int32(binary.LittleEndian.Uint32(b))) // #nosec G115 -- the bits of a signed number
	case isFloat32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	case isBool:
		return b[0] != 0
	case isFloat64:
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	case isUint64:
		if n := binary.LittleEndian.Uint64(b); n > math.MaxInt64 {
			p.fail("byte %d: the number %d is too large", p.at, n)
		}
	}
	return int64(binary.LittleEndian.Uint64(b)) // #nosec G115 -- the bits of a signed number
}

// array reads an array; one of booleans becomes one of 0 and 1.
func (p *parser) array() any {
	kind, n := p.u32(), p.u64()
	switch {
	case kind == isText:
		if !p.has(n, 8) { // the length of each
			return nil
		}
		all := make([]string, n)
		for i := range all {
			all[i] = p.text()
			if p.err != nil {
				return nil
			}
		}
		return all
	case sizes[kind] == 0:
		p.fail("byte %d: arrays of type %d are not supported", p.at, kind)
		return nil
	}
	size := sizes[kind]
	if !p.has(n, size) {
		return nil
	}
	raw := p.take(n * uint64(size)) // #nosec G115 -- has looked: no more than the header
	if kind == isFloat32 || kind == isFloat64 {
		return numbers[float64](p, kind, raw, size)
	}
	if kind == isBool {
		kind = isUint8
	}
	return numbers[int64](p, kind, raw, size)
}

func numbers[T int64 | float64](p *parser, kind uint32, raw []byte, size int64) []T {
	all := make([]T, int64(len(raw))/size)
	for i := range all {
		all[i], _ = p.number(kind, raw[int64(i)*size:int64(i+1)*size]).(T)
	}
	return all
}

// tensor reads the description of a tensor.
func (p *parser) tensor() Tensor {
	t := Tensor{Name: p.text()}
	n := p.u32()
	if n > 4 {
		p.fail("the tensor %.80q has %d dimensions", t.Name, n)
	}
	for range n {
		if p.err != nil {
			break
		}
		d := p.u64()
		if d > 1<<40 {
			p.fail("the tensor %.80q has a dimension of %d", t.Name, d)
		}
		t.Shape = append(t.Shape, int(d)) // #nosec G115 -- or it has failed
	}
	slices.Reverse(t.Shape)
	id := p.u32()
	t.kind, t.Type = kinds[id], typeName(id)
	at := p.u64()
	if at > math.MaxInt64/2 {
		p.fail("the tensor %.80q lies at %d", t.Name, at)
	}
	t.at = int64(at) // #nosec G115 -- or it has failed
	return t
}
