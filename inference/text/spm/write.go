package spm

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Marshal writes a model as Parse and SentencePiece read it.
func (m *Model) Marshal() []byte {
	var b []byte
	for i, p := range m.Pieces {
		var piece []byte
		piece = appendBytes(piece, 1, []byte(p.Text))
		piece = protowire.AppendTag(piece, 2, protowire.Fixed32Type)
		piece = protowire.AppendFixed32(piece, math.Float32bits(p.Score))
		kind := p.Kind
		if int32(i) == m.Unk {
			kind = Unknown
		}
		b = appendBytes(b, 1, appendNumber(piece, 3, uint64(kind)))
	}
	var trainer []byte
	trainer = appendNumber(trainer, 3, uint64(m.Algorithm))
	trainer = appendNumber(trainer, 4, uint64(len(m.Pieces)))
	trainer = appendNumber(trainer, 24, truth(m.SpaceAfter))
	trainer = appendNumber(trainer, 35, truth(m.ByteFallback))
	// The ids of the control tokens, which SentencePiece looks up by their place.
	for _, t := range []struct {
		field protowire.Number
		text  string
	}{{41, "<s>"}, {42, "</s>"}, {43, "<pad>"}} {
		at := int64(-1)
		for i, p := range m.Pieces {
			if p.Text == t.text && p.Kind == Control {
				at = int64(i)
			}
		}
		trainer = appendNumber(trainer, t.field, uint64(at))
	}
	trainer = appendNumber(trainer, 40, uint64(m.Unk))
	b = appendBytes(b, 2, appendBytes(trainer, 44, []byte(m.UnkSurface)))

	var normalizer []byte
	normalizer = appendBytes(normalizer, 1, []byte("identity"))
	normalizer = appendBytes(normalizer, 2, m.Charsmap)
	normalizer = appendNumber(normalizer, 3, truth(m.AddDummyPrefix))
	normalizer = appendNumber(normalizer, 4, truth(m.RemoveExtraSpace))
	return appendBytes(b, 3, appendNumber(normalizer, 5, truth(m.EscapeSpace)))
}

func truth(v bool) uint64 {
	if v {
		return 1
	}
	return 0
}

func appendNumber(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}
