package inference

import (
	"math/rand/v2"
	"slices"
)

// search decides how a text goes on. Its rows are the candidates: one, or as many as
// there are beams.
type search interface {
	// next takes what the model says of each row, and gives each row's next token and
	// the row whose past it goes on from. over: the text has ended, and nothing is read
	// any more.
	next(s said) (tokens, from []int32, over bool)
	// result is the tokens of the text that ended, or of the best so far, without the
	// token that ended it; stopped says that there was one.
	result() (tokens []int32, stopped bool)
}

// said is what the model says of each row of a text: the likeliest token, and where
// somebody needs them the scores of all, which may be changed.
type said struct {
	best   []int32
	scores [][]float32
}

// walk writes one token after the other: the likeliest, or one that is drawn.
type walk struct {
	*Parameters
	rules   *rules
	most    int
	tokens  []int32 // that penalties look at: of a decoder the prompt too
	start   int     // of them were there before
	stopped bool
	random  *rand.Rand
	said    []TokenLogprob // of the tokens written, where they are asked for
}

func newWalk(p *Parameters, r *rules, before []int32, most int) *walk {
	w := &walk{Parameters: p, rules: r, most: most, tokens: before, start: len(before)}
	if p.Sample {
		seed := rand.Uint64() // #nosec G404 -- texts, not secrets
		if p.Seed != nil {
			seed = *p.Seed
		}
		w.random = rand.New(rand.NewPCG(seed, 0x9E3779B97F4A7C15)) //nolint:gosec // texts, not secrets
	}
	return w
}

func (w *walk) next(s said) (tokens, from []int32, over bool) {
	token := s.best[0]
	var model []float32 // its scores, where they are to be told
	if !w.plain(w.rules) {
		scores := s.scores[0]
		if w.Logprobs != nil {
			model = slices.Clone(scores) // what chooses changes them
		}
		w.adjust(w.rules, scores, w.tokens, w.written(), w.most)
		if w.Sample {
			token = w.draw(scores, w.random)
		} else {
			token = highest(scores)
		}
	}
	for _, end := range w.rules.ends {
		if token == end {
			w.stopped = true
			return nil, nil, true
		}
	}
	w.tokens = append(w.tokens, token)
	if model != nil {
		w.said = append(w.said, scored(model, token, w.Logprobs.Top))
	}
	return []int32{token}, []int32{0}, w.written() >= w.most
}

func (w *walk) written() int { return len(w.tokens) - w.start }

func (w *walk) result() (tokens []int32, stopped bool) { return w.tokens[w.start:], w.stopped }
