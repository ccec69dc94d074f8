package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"lorikeet/adapters/invalid"
)

// entry is a tensor and where its bytes lie, counted from the end of the header.
type entry struct {
	Info
	begin, end int64
}

// header is what the JSON says.
type header struct {
	tensors  []entry
	metadata map[string]string
}

// parser reads the header's JSON token by token, because encoding/json's structs
// would let a repeated name pass, and its maps would decide which one wins.
// Two kinds of mistake are told apart: where the JSON is not of the right
// structure there is nothing to go on with (the error of each method), and where
// a value is wrong the rest can still be looked at (faults).
type parser struct {
	dec    *json.Decoder
	faults faults
}

// parseHeader reads a header and checks all of it that can be checked without
// the rest of the file. The error holds invalid.Faults.
func parseHeader(raw []byte) (*header, error) {
	if !utf8.Valid(raw) {
		return nil, invalid.Field("header", "the header is not UTF-8")
	}
	p := &parser{dec: json.NewDecoder(bytes.NewReader(raw))}
	p.dec.UseNumber()
	h, err := p.header()
	if err != nil {
		p.faults.add("header", "at byte %d: %v", p.dec.InputOffset(), err)
	}
	return h, p.faults.err()
}

func (p *parser) header() (*header, error) {
	h := &header{}
	seen := map[string]bool{}
	err := p.object(func(name string) error {
		if seen[name] {
			p.faults.add(name, "the name is there twice")
		}
		seen[name] = true
		if name == "__metadata__" {
			meta, err := p.metadata()
			h.metadata = meta
			return err
		}
		if len(h.tensors) == maxTensors {
			return fmt.Errorf("more than %d tensors", maxTensors)
		}
		// encoding/json puts U+FFFD for half a surrogate pair; two names could become one.
		if strings.ContainsRune(name, utf8.RuneError) {
			p.faults.add(name, "the name is not valid Unicode")
		}
		t, err := p.tensor(name)
		h.tensors = append(h.tensors, t)
		return err
	})
	if err != nil {
		return nil, err
	}
	if tok, err := p.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("after the end of the header: %w", unexpected(tok, err))
	}
	return h, nil
}

func (p *parser) metadata() (map[string]string, error) {
	meta := map[string]string{}
	err := p.object(func(key string) error {
		if _, ok := meta[key]; ok {
			p.faults.add("__metadata__", "the key %q is there twice", clip(key))
		}
		if len(meta) == maxMetadata {
			return fmt.Errorf("__metadata__: more than %d entries", maxMetadata)
		}
		v, err := p.str()
		if err != nil {
			return fmt.Errorf("__metadata__: %q: %w", clip(key), err)
		}
		meta[key] = v
		return nil
	})
	return meta, err
}

// tensor reads {"dtype":…,"shape":[…],"data_offsets":[begin,end]}, in any order.
func (p *parser) tensor(name string) (entry, error) {
	t := entry{Info: Info{Name: name}}
	seen := map[string]bool{}
	err := p.object(func(key string) error {
		if seen[key] {
			p.faults.add(name, "%s is there twice", clip(key))
		}
		seen[key] = true
		switch key {
		case "dtype":
			s, err := p.str()
			if t.DType = DType(s); err == nil && t.DType.Bits() == 0 {
				p.faults.add(name, "unknown dtype %q", clip(s))
			}
			return err
		case "shape":
			dims, err := p.numbers(name, "shape", maxRank, strconv.IntSize-1)
			t.Shape = make([]int, len(dims))
			for i, d := range dims {
				t.Shape[i] = int(d)
			}
			return err
		case "data_offsets":
			at, err := p.numbers(name, "data_offsets", 2, 63)
			if err == nil && len(at) != 2 {
				p.faults.add(name, "data_offsets wants two numbers")
			} else if err == nil {
				t.begin, t.end = at[0], at[1]
			}
			return err
		}
		// Something the format does not have may change what the bytes mean.
		return fmt.Errorf("tensor %q: unknown member %q", clip(name), clip(key))
	})
	for _, key := range []string{"dtype", "shape", "data_offsets"} {
		if err == nil && !seen[key] {
			p.faults.add(name, "%s is missing", key)
		}
	}
	return t, err
}

// object calls member after each key of a JSON object; member reads the value.
func (p *parser) object(member func(key string) error) error {
	if err := p.delim('{'); err != nil {
		return err
	}
	for p.dec.More() {
		if p.faults.more > hopeless {
			return errors.New("too many faults")
		}
		key, err := p.str()
		if err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
	}
	return p.delim('}')
}

// numbers reads an array of at most limit whole numbers from 0 to 2^bits-1.
func (p *parser) numbers(name, field string, limit, bits int) ([]int64, error) {
	if err := p.delim('['); err != nil {
		return nil, err
	}
	var all []int64
	for p.dec.More() {
		tok, err := p.dec.Token()
		num, ok := tok.(json.Number)
		if err != nil || !ok {
			return nil, unexpected(tok, err)
		}
		if len(all) == limit {
			return nil, fmt.Errorf("tensor %q: %s holds more than %d numbers", clip(name), field, limit)
		}
		n, err := strconv.ParseUint(string(num), 10, bits)
		if err != nil {
			p.faults.add(name, "%s: %s is not a whole number from 0 to 2^%d-1", field, clip(string(num)), bits)
			n = 0
		}
		all = append(all, int64(n))
	}
	return all, p.delim(']')
}

func (p *parser) str() (string, error) {
	tok, err := p.dec.Token()
	if s, ok := tok.(string); ok && err == nil {
		return s, nil
	}
	return "", unexpected(tok, err)
}

func (p *parser) delim(want json.Delim) error {
	tok, err := p.dec.Token()
	if err == nil && tok == want {
		return nil
	}
	return unexpected(tok, err)
}

func unexpected(tok json.Token, err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the JSON ends early")
	case err != nil:
		return err
	case tok == nil:
		return errors.New("unexpected null")
	}
	return fmt.Errorf("unexpected %s", clip(fmt.Sprint(tok)))
}
