package data

import "errors"

// thrift reads Thrift's compact protocol, in which Parquet writes what it says of
// itself. The Parquet library allocates as much as a length in there claims, so
// every length is compared with what is there before the library sees the file.
// Source: github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
type thrift struct {
	b        []byte
	at       int
	elements int // of lists, so far
}

var errThrift = errors.New("its index is not valid Thrift")

const (
	// maxElements of all lists of an index: a thousand row groups of a thousand columns.
	maxElements = 1_000_000
	maxNesting  = 32
)

// structure holds the fields of a struct by their numbers: int64, []any,
// structure, or nil for what is of no interest here.
type structure map[int]any

func (s structure) number(field int) int64 { n, _ := s[field].(int64); return n }
func (s structure) list(field int) []any   { l, _ := s[field].([]any); return l }
func (s structure) inner(field int) structure {
	in, _ := s[field].(structure)
	return in
}

func (t *thrift) byte() (byte, error) {
	if t.at >= len(t.b) {
		return 0, errThrift
	}
	t.at++
	return t.b[t.at-1], nil
}

func (t *thrift) varint() (n uint64, err error) {
	for shift := 0; shift < 64; shift += 7 {
		c, err := t.byte()
		if err != nil {
			return 0, err
		}
		n |= uint64(c&0x7F) << shift
		if c < 0x80 {
			return n, nil
		}
	}
	return 0, errThrift
}

func (t *thrift) zigzag() (int64, error) {
	n, err := t.varint()
	return int64(n>>1) ^ -int64(n&1), err
}

func (t *thrift) skip(n uint64) error {
	if n > uint64(len(t.b)-t.at) { // #nosec G115 -- no more than there are
		return errThrift
	}
	t.at += int(n) // #nosec G115 -- no more than there are
	return nil
}

// structure reads a struct.
func (t *thrift) structure(depth int) (structure, error) {
	s := structure{}
	field := int64(0)
	for {
		head, err := t.byte()
		if err != nil || head == 0 {
			return s, err
		}
		if delta := head >> 4; delta > 0 {
			field += int64(delta)
		} else if field, err = t.zigzag(); err != nil {
			return nil, err
		}
		kind := head & 0x0F
		if kind <= 2 {
			continue // a bool is all in its head
		}
		v, err := t.value(kind, depth+1)
		if err != nil {
			return nil, err
		}
		s[int(field)] = v
	}
}

// value reads a value of one of the protocol's types.
func (t *thrift) value(kind byte, depth int) (any, error) {
	if depth > maxNesting {
		return nil, errThrift
	}
	switch kind {
	case 1, 2, 3: // bool in a list, i8
		return nil, t.skip(1)
	case 4, 5, 6: // i16, i32, i64
		return t.zigzag()
	case 7: // double
		return nil, t.skip(8)
	case 8: // binary
		n, err := t.varint()
		if err != nil {
			return nil, err
		}
		return nil, t.skip(n)
	case 9, 10: // list, set
		return t.list(depth)
	case 12:
		return t.structure(depth)
	case 13: // uuid
		return nil, t.skip(16)
	}
	return nil, errThrift // maps, which Parquet has none of, and what is no type
}

func (t *thrift) list(depth int) (any, error) {
	head, err := t.byte()
	if err != nil {
		return nil, err
	}
	n := uint64(head >> 4)
	if n == 15 {
		if n, err = t.varint(); err != nil {
			return nil, err
		}
	}
	// No element is shorter than a byte.
	if t.elements += int(min(n, maxElements+1)); n > uint64(len(t.b)-t.at) || t.elements > maxElements { // #nosec G115 -- a length, and min bounds the other
		return nil, errThrift
	}
	list := make([]any, 0, n)
	for range n {
		v, err := t.value(head&0x0F, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}
