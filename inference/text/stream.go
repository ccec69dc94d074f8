package text

import (
	"slices"
	"strings"
)

// Stream decodes ids as they come. What it returns, put together, is what Decode
// returns for all of them at once; nothing ends inside a character. A stream is for
// one text and one goroutine.
type Stream struct {
	t      *Tokenizer
	skip   bool
	stages []stage
	emits  []emit // emits[i] is what goes into stage i; the last writes out
	out    strings.Builder
}

// Stream begins a text; skipSpecial is that of Decode.
func (t *Tokenizer) Stream(skipSpecial bool) *Stream {
	s := &Stream{t: t, skip: skipSpecial}
	for _, d := range t.decoding {
		s.stages = append(s.stages, d.stage())
	}
	if t.tidy && skipSpecial {
		s.stages = append(s.stages, &tidyStage{})
	}
	s.emits = make([]emit, len(s.stages)+1)
	s.emits[len(s.stages)] = func(text string, _ bool) { s.out.WriteString(text) }
	for i, stage := range slices.Backward(s.stages) {
		next := s.emits[i+1]
		s.emits[i] = func(text string, start bool) { stage.push(text, start, next) }
	}
	return s
}

// Push adds one id and returns the text that is now certain, which may be none.
func (s *Stream) Push(id int32) string {
	s.push(id)
	return s.take()
}

// Flush ends the text and returns what is left of it.
func (s *Stream) Flush() string {
	for i, stage := range s.stages {
		stage.flush(s.emits[i+1])
	}
	return s.take()
}

func (s *Stream) push(id int32) {
	if s.skip && s.t.special[id] {
		return
	}
	if token, ok := s.t.vocab.token(id); ok {
		s.emits[0](token, true)
	}
}

func (s *Stream) take() string {
	text := s.out.String()
	s.out.Reset()
	return text
}
