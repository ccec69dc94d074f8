package text

import (
	"strings"
	"unicode"

	"lorikeet/inference/text/spm"
)

// marianDecoder is MarianTokenizer.convert_tokens_to_string: runs of tokens between
// special ones are decoded by the target's SentencePiece model.
type marianDecoder struct {
	model   *spm.Model
	kinds   map[string]spm.Kind
	special map[string]bool
	begun   bool // the run has text
}

// newMarianDecoder returns what makes a decoder for each text.
func newMarianDecoder(m *spm.Model, special map[string]bool) func() stage {
	kinds := make(map[string]spm.Kind, len(m.Pieces))
	for _, p := range m.Pieces {
		kinds[p.Text] = p.Kind
	}
	return func() stage { return &marianDecoder{model: m, special: special, kinds: kinds} }
}

func (d *marianDecoder) push(s string, start bool, out emit) {
	if d.special[s] {
		d.begun = false
		out(s+" ", start)
		return
	}
	switch kind, ok := d.kinds[s]; {
	case kind == spm.Control:
		return
	case kind == spm.Unknown:
		s = d.model.UnkSurface
	case ok && !d.begun && (d.model.AddDummyPrefix || d.model.RemoveExtraSpace):
		var space bool
		s, space = strings.CutPrefix(s, spaceMark)
		if space && !d.model.RemoveExtraSpace { // otherwise all spaces before the text go
			d.begun = true
		}
	}
	d.begun = d.begun || s != ""
	out(strings.ReplaceAll(s, spaceMark, " "), start)
}

func (d *marianDecoder) flush(emit) {}

// trim takes the white space from both ends of a text, as Python's strip does.
type trim struct {
	held  []byte // white space that is part of the text if any follows
	begun bool
}

func (d *trim) push(s string, _ bool, out emit) {
	if !d.begun {
		s = strings.TrimLeftFunc(s, pythonSpace)
	}
	end := len(strings.TrimRightFunc(s, pythonSpace))
	if end > 0 {
		d.begun = true
		out(string(d.held)+s[:end], true)
		d.held = d.held[:0]
	}
	d.held = append(d.held, s[end:]...)
}

func (d *trim) flush(emit) {}

func pythonSpace(r rune) bool { return unicode.IsSpace(r) || 0x1c <= r && r <= 0x1f }
