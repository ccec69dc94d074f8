package gguf

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"lorikeet/adapters/invalid"
)

// sentencePiece makes the tokenizer.model that a vocabulary with scores came from: a
// SentencePiece ModelProto of the BPE kind. Its field numbers are those of
// sentencepiece_model.proto.
func (f *File) sentencePiece(tokens []string, types []int64) ([]byte, error) {
	scores, ok := f.meta["tokenizer.ggml.scores"].([]float64)
	if !ok || len(scores) != len(tokens) {
		return nil, invalid.Field("tokenizer.ggml.scores", "has %d entries for %d tokens", len(scores), len(tokens))
	}
	var model []byte
	fallback := false
	for i, t := range tokens {
		if types[i] < tokenNormal || types[i] > 6 {
			return nil, invalid.Field("tokenizer.ggml.token_type", "%d of token %d is not known", types[i], i)
		}
		fallback = fallback || types[i] == 6 // <0x00> and so on
		piece := protowire.AppendTag(nil, 1, protowire.BytesType)
		piece = protowire.AppendString(piece, t)
		piece = protowire.AppendTag(piece, 2, protowire.Fixed32Type)
		piece = protowire.AppendFixed32(piece, math.Float32bits(float32(scores[i])))
		piece = protowire.AppendTag(piece, 3, protowire.VarintType)
		piece = protowire.AppendVarint(piece, uint64(types[i]))
		model = protowire.AppendTag(model, 1, protowire.BytesType)
		model = protowire.AppendBytes(model, piece)
	}
	trainer := number(nil, 3, 2) // model_type: BPE
	trainer = number(trainer, 35, truth(fallback))
	model = protowire.AppendTag(model, 2, protowire.BytesType)
	model = protowire.AppendBytes(model, trainer)

	// LLaMA's normalizer changes nothing but spaces, and keeps all of those.
	normalizer := protowire.AppendTag(nil, 1, protowire.BytesType)
	normalizer = protowire.AppendString(normalizer, "identity")
	normalizer = number(normalizer, 3, truth(f.flag("tokenizer.ggml.add_space_prefix", true)))
	normalizer = number(normalizer, 4, truth(f.flag("tokenizer.ggml.remove_extra_whitespaces", false)))
	normalizer = number(normalizer, 5, 1) // escape_whitespaces
	model = protowire.AppendTag(model, 3, protowire.BytesType)
	return protowire.AppendBytes(model, normalizer), nil
}

func number(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func truth(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
