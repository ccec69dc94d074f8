package text

import (
	"encoding/json"
)

// decoding is the way from tokens to text: a chain of stages, made anew for each
// text because they remember what went before.
type decoding []decoder

type decoder struct {
	stage func() stage
	fuses bool // all that comes out is parts of one token
	parts bool // tokens may come in parts
}

// gather is decoders with a stage that puts tokens together again where one needs
// them whole; such a text is only decoded at its end.
func (d decoding) gather() decoding {
	var out decoding
	fused := false
	for _, one := range d {
		if fused && !one.parts {
			out = append(out, decoder{stage: func() stage { return &whole{} }})
			fused = false
		}
		fused = fused || one.fuses
		out = append(out, one)
	}
	return out
}

// A stage rewrites tokens. start is set on the first part of each token; a stage
// such as Fuse turns many tokens into the parts of one. A stage may hold text back
// until it is sure of it, at the latest until flush.
type stage interface {
	push(s string, start bool, out emit)
	flush(out emit)
}

type emit func(s string, start bool)

// parseDecoding reads a decoder of tokenizer.json. Without one, tokens are joined
// with spaces.
func parseDecoding(raw json.RawMessage, field string) (decoding, error) {
	kind, err := componentType(raw, field)
	if err != nil {
		return nil, err
	}
	one := func(begin func() stage) (decoding, error) { return decoding{{stage: begin}}, nil }
	switch kind {
	case "":
		return one(func() stage { return &spaced{} })
	case "Sequence":
		var s struct{ Decoders []json.RawMessage }
		if err := parseComponent(raw, field, &s, "decoders"); err != nil {
			return nil, err
		}
		all := decoding{}
		for i, member := range s.Decoders {
			d, err := parseDecoding(member, index(field+".decoders", i))
			if err != nil {
				return nil, err
			}
			all = append(all, d...)
		}
		return all, nil
	case "ByteLevel":
		return decoding{{stage: func() stage { return &levelDecoder{} }, fuses: true}}, nil
	case "ByteFallback":
		return one(func() stage { return &fallbackDecoder{} })
	case "Fuse":
		return decoding{{stage: func() stage { return &fuse{} }, fuses: true, parts: true}}, nil
	case "Metaspace":
		m, err := parseMetaspace(raw, field)
		return decoding{{stage: func() stage { return &metaspaceDecoder{space: m.space, keep: m.scheme == never} }}}, err
	case "Replace":
		var r struct {
			Pattern json.RawMessage
			Content string
		}
		if err := parseComponent(raw, field, &r, "pattern", "content"); err != nil {
			return nil, err
		}
		p, err := parsePattern(r.Pattern, field+".pattern")
		return decoding{{stage: func() stage { return replaceDecoder{p, r.Content} }}}, err
	case "Strip":
		var s struct {
			Content     string
			Start, Stop int
		}
		if err := parseComponent(raw, field, &s, "content", "start", "stop"); err != nil {
			return nil, err
		}
		r, err := oneRune(field+".content", s.Content)
		begin := func() stage { return &stripDecoder{char: string(r), start: s.Start, stop: s.Stop} }
		return decoding{{stage: begin, parts: true}}, err
	case "WordPiece":
		var w struct {
			Prefix  string
			Cleanup bool
		}
		if err := parseComponent(raw, field, &w, "prefix", "cleanup"); err != nil {
			return nil, err
		}
		return one(func() stage { return &wordPieceDecoder{prefix: w.Prefix, tidy: w.Cleanup} })
	case "BPEDecoder":
		var b struct{ Suffix string }
		if err := parseComponent(raw, field, &b, "suffix"); err != nil {
			return nil, err
		}
		return one(func() stage { return &suffixDecoder{suffix: b.Suffix} })
	}
	return nil, unknownType(field, "decoder", kind)
}
