package inference

import (
	"cmp"
	"math"
	"slices"
)

// beams is beam search as transformers 5 does it (GenerationMixin._beam_search): the
// likeliest continuations of all beams together go on, those that end are kept aside,
// scored by their log probability over length^penalty.
type beams struct {
	*Parameters
	rules *rules
	most  int
	until bool // early_stopping "never": only what cannot be improved ends the search

	before  []int32 // that penalties look at
	running []beam
	ended   []beam // best first
	step    int
	improve bool // what runs may still beat what has ended
}

// beam is one candidate. A score far below all others stands for none.
type beam struct {
	tokens  []int32 // written
	score   float64
	ended   bool
	stopped bool // by an end token, not by the length
}

const none = -1e9

func newBeams(p *Parameters, r *rules, before []int32, most int) *beams {
	b := &beams{Parameters: p, rules: r, most: most, before: before, improve: true}
	for i := range p.NumBeams {
		first := beam{}
		if i > 0 { // all are alike: only one may go on
			first.score = none
		}
		b.running = append(b.running, first)
		b.ended = append(b.ended, beam{score: none})
	}
	return b
}

// continuation is a token after a beam.
type continuation struct {
	from  int
	token int32
	score float64
	ends  bool
}

func (b *beams) next(s said) (tokens, from []int32, over bool) {
	top := b.top(s)
	b.step++
	for i := range top {
		top[i].ends = slices.Contains(b.rules.ends, top[i].token) || b.step >= b.most
	}
	last := b.running
	b.finish(top, last)
	goOn := slices.Clone(top)
	for i := range goOn {
		if goOn[i].ends {
			goOn[i].score += none
		}
	}
	slices.SortStableFunc(goOn, func(x, y continuation) int { return cmp.Compare(y.score, x.score) })
	b.running = nil
	for _, c := range goOn[:b.NumBeams] {
		b.running = append(b.running, beam{tokens: append(slices.Clip(last[c.from].tokens), c.token), score: c.score})
		tokens, from = append(tokens, c.token), append(from, int32(c.from))
	}
	b.improve = b.improve && b.improvable()
	full := b.EarlyStopping && !slices.ContainsFunc(b.ended, func(e beam) bool { return !e.ended })
	stuck := !slices.ContainsFunc(top, func(c continuation) bool { return !c.ends })
	return tokens, from, !b.improve || full || stuck
}

// top gives the likeliest continuations of all beams: twice as many as beams, or more
// where several tokens end a text, so that enough go on when the best of them end.
func (b *beams) top(s said) []continuation {
	keep := max(2, 1+len(b.rules.ends)) * b.NumBeams
	var all []continuation
	for i, scores := range s.scores[:b.NumBeams] {
		logSoftmax(scores)
		b.adjust(b.rules, scores, append(slices.Clip(b.before), b.running[i].tokens...), b.step, b.most)
		for _, id := range best(scores, keep) {
			all = append(all, continuation{from: i, token: id, score: float64(float32(b.running[i].score) + scores[id])})
		}
	}
	slices.SortStableFunc(all, func(x, y continuation) int { return cmp.Compare(y.score, x.score) })
	return all[:min(keep, len(all))]
}

// finish keeps aside the best continuations that end.
func (b *beams) finish(top []continuation, last []beam) {
	full := b.EarlyStopping && !slices.ContainsFunc(b.ended, func(e beam) bool { return !e.ended })
	if full || !b.improve {
		return
	}
	for _, c := range top[:b.NumBeams] {
		if !c.ends {
			continue
		}
		e := beam{tokens: last[c.from].tokens, score: c.score / math.Pow(float64(b.step), b.LengthPenalty), ended: true}
		if e.stopped = slices.Contains(b.rules.ends, c.token); !e.stopped {
			e.tokens = append(slices.Clip(e.tokens), c.token)
		}
		b.ended = append(b.ended, e)
	}
	slices.SortStableFunc(b.ended, func(x, y beam) int { return cmp.Compare(y.score, x.score) })
	b.ended = b.ended[:b.NumBeams]
}

// improvable estimates whether a running beam can still beat the worst that has ended.
func (b *beams) improvable() bool {
	length := float64(b.step)
	if b.until && b.LengthPenalty > 0 {
		length = float64(b.most)
	}
	possible := b.running[0].score / math.Pow(length, b.LengthPenalty)
	return slices.ContainsFunc(b.ended, func(e beam) bool {
		if !e.ended {
			return possible > none
		}
		return possible > b.ended[len(b.ended)-1].score
	})
}

func (b *beams) result() (tokens []int32, stopped bool) {
	if e := b.ended[0]; e.ended {
		return e.tokens, e.stopped
	}
	return b.running[0].tokens, false
}

// best gives the n highest scores' tokens, highest first.
func best(scores []float32, n int) []int32 {
	if n = min(n, len(scores)); n <= 0 {
		return nil
	}
	// A small heap would do; n is a few, and most scores are below the least of them.
	top := make([]int32, 0, n+1)
	for i, x := range scores {
		if len(top) == n && x <= scores[top[n-1]] {
			continue
		}
		at := len(top)
		for at > 0 && scores[top[at-1]] < x {
			at--
		}
		top = slices.Insert(top, at, int32(i))
		top = top[:min(len(top), n)]
	}
	return top
}

// logSoftmax turns scores into log probabilities.
func logSoftmax(scores []float32) {
	top := scores[highest(scores)]
	var sum float64
	for _, x := range scores {
		sum += math.Exp(float64(x - top))
	}
	less := float64(top) + math.Log(sum)
	for i, x := range scores {
		scores[i] = float32(float64(x) - less)
	}
}
