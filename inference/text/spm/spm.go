// Package spm reads SentencePiece models (spiece.model, source.spm): the tokens
// with their scores, and how text is to be normalized before they are looked for.
//
// Such a file is one protocol buffer message, ModelProto; only the fields that say
// how to encode and decode are read here, straight from the wire.
//
// Format: https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
package spm

import (
	"errors"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"lorikeet/adapters/invalid"
)

// Kind says what a token is for.
type Kind int32

const (
	Normal Kind = iota + 1
	Unknown
	Control     // <s>, </s>: never found in text
	UserDefined // always found in text, as it is
	Unused
	Byte // <0x00> to <0xFF>
)

// Piece is a token.
type Piece struct {
	Text  string
	Score float32 // a log probability, or the order of the merges, negated
	Kind  Kind
}

// Algorithm is how text is cut into tokens.
type Algorithm int32

const (
	Unigram Algorithm = iota + 1
	BPE
	Words
	Characters
)

// Model is what a file holds. Ids are places in Pieces; Unk is that of the one
// Unknown piece.
type Model struct {
	Pieces    []Piece
	Algorithm Algorithm
	Unk       int32

	ByteFallback bool   // what is unknown is spelled in bytes
	SpaceAfter   bool   // a word's space mark is behind it
	UnkSurface   string // what decoding writes for an unknown token

	Charsmap         []byte // precompiled_charsmap
	AddDummyPrefix   bool   // a space goes before the text
	RemoveExtraSpace bool   // spaces at both ends, and all but one between words, go
	EscapeSpace      bool   // spaces are written ▁
}

// Parse reads a file. Everything that is wrong with it is an invalid.Fault.
func Parse(data []byte) (*Model, error) {
	m := &Model{Algorithm: Unigram, Unk: -1, UnkSurface: " \u2047 ", AddDummyPrefix: true, RemoveExtraSpace: true, EscapeSpace: true}
	var faults []error
	err := fields(data, func(f field) {
		switch {
		case f.is(1, protowire.BytesType):
			p := Piece{Kind: Normal}
			if fields(f.bytes, p.read) != nil || !utf8.ValidString(p.Text) || p.Text == "" || p.Kind < Normal || p.Kind > Byte {
				faults = append(faults, invalid.Field("pieces", "token %d is malformed", len(m.Pieces)))
			}
			if math.IsNaN(float64(p.Score)) || math.IsInf(float64(p.Score), 0) {
				faults = append(faults, invalid.Field("pieces", "the score of token %d is no number", len(m.Pieces)))
			}
			if p.Kind == Unknown {
				if m.Unk >= 0 {
					faults = append(faults, invalid.Field("pieces", "tokens %d and %d are both the unknown one", m.Unk, len(m.Pieces)))
				}
				m.Unk = int32(len(m.Pieces))
			}
			m.Pieces = append(m.Pieces, p)
		case f.is(2, protowire.BytesType):
			if fields(f.bytes, m.readTrainer) != nil {
				faults = append(faults, invalid.Field("trainer_spec", "is malformed"))
			}
		case f.is(3, protowire.BytesType):
			if fields(f.bytes, m.readNormalizer) != nil {
				faults = append(faults, invalid.Field("normalizer_spec", "is malformed"))
			}
		case f.is(5, protowire.BytesType):
			denormalizer := Model{}
			if fields(f.bytes, denormalizer.readNormalizer) != nil || len(denormalizer.Charsmap) > 0 {
				faults = append(faults, invalid.Field("denormalizer_spec", "is not supported"))
			}
		}
	})
	if err != nil {
		faults = append(faults, invalid.Field("", "is no SentencePiece model: %v", err))
	}
	if err == nil && len(m.Pieces) == 0 {
		return nil, invalid.Field("", "is no SentencePiece model: there are no tokens")
	}
	if err == nil && m.Unk < 0 {
		faults = append(faults, invalid.Field("pieces", "no token is the unknown one"))
	}
	if m.Algorithm < Unigram || m.Algorithm > Characters {
		faults = append(faults, invalid.Field("trainer_spec.model_type", "%d is not known", m.Algorithm))
	}
	seen := make(map[string]int, len(m.Pieces))
	for i, p := range m.Pieces {
		if first, twice := seen[p.Text]; twice {
			faults = append(faults, invalid.Field("pieces", "tokens %d and %d are the same", first, i))
		}
		seen[p.Text] = i
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return m, nil
}

func (p *Piece) read(f field) {
	switch {
	case f.is(1, protowire.BytesType):
		p.Text = string(f.bytes)
	case f.is(2, protowire.Fixed32Type):
		p.Score = math.Float32frombits(uint32(f.number))
	case f.is(3, protowire.VarintType):
		p.Kind = Kind(f.number)
	}
}

func (m *Model) readTrainer(f field) {
	switch {
	case f.is(3, protowire.VarintType):
		m.Algorithm = Algorithm(f.number)
	case f.is(24, protowire.VarintType):
		m.SpaceAfter = f.number != 0
	case f.is(35, protowire.VarintType):
		m.ByteFallback = f.number != 0
	case f.is(44, protowire.BytesType):
		m.UnkSurface = string(f.bytes)
	}
}

func (m *Model) readNormalizer(f field) {
	switch {
	case f.is(2, protowire.BytesType):
		m.Charsmap = f.bytes
	case f.is(3, protowire.VarintType):
		m.AddDummyPrefix = f.number != 0
	case f.is(4, protowire.VarintType):
		m.RemoveExtraSpace = f.number != 0
	case f.is(5, protowire.VarintType):
		m.EscapeSpace = f.number != 0
	}
}

// field is one field of a message, by its type in number or bytes.
type field struct {
	id     protowire.Number
	wire   protowire.Type
	number uint64
	bytes  []byte
}

func (f field) is(id protowire.Number, wire protowire.Type) bool { return f.id == id && f.wire == wire }

// fields reads a message field by field.
func fields(data []byte, read func(field)) error {
	for len(data) > 0 {
		id, wire, n := protowire.ConsumeTag(data)
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		f := field{id: id, wire: wire}
		switch wire {
		case protowire.VarintType:
			f.number, n = protowire.ConsumeVarint(data)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(data)
			f.number = uint64(v)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(data)
		default:
			n = protowire.ConsumeFieldValue(id, wire, data)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		read(f)
	}
	return nil
}
