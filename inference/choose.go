package inference

import (
	"math"
	"math/rand/v2"
	"slices"
	"sort"
)

// The scores of the next token are changed in the order that transformers' generate
// does it: repetition penalty, repeated n-grams, banned tokens, least length, forced
// end; then, where a token is drawn, temperature, top-k and top-p.

var never = float32(math.Inf(-1))

// plain reports whether the likeliest token is always the one, so that no scores need
// be looked at.
func (p *Parameters) plain(r *rules) bool {
	return p.NumBeams == 1 && !p.Sample && p.RepetitionPenalty == 1 && p.NoRepeatNgram == 0 && p.MinNewTokens == 0 &&
		len(r.banned) == 0 && len(r.forced) == 0 && p.Logprobs == nil && !p.discourages()
}

// adjust changes the scores of the next token, given all tokens so far, of which
// written are new; most is how many there may be.
func (p *Parameters) adjust(r *rules, scores []float32, tokens []int32, written, most int) {
	if q := float32(p.RepetitionPenalty); q != 1 {
		seen := make(map[int32]bool, len(tokens))
		for _, id := range tokens {
			if seen[id] || int(id) >= len(scores) { // a Marian may read tokens that it cannot write
				continue
			}
			seen[id] = true
			if scores[id] < 0 {
				scores[id] *= q
			} else {
				scores[id] /= q
			}
		}
	}
	if p.discourages() {
		p.discourage(scores, tokens[len(tokens)-written:])
	}
	if n := p.NoRepeatNgram; n > 0 && len(tokens)+1 >= n {
		last := tokens[len(tokens)+1-n:]
		for i := 0; i+n <= len(tokens); i++ {
			if slices.Equal(tokens[i:i+n-1], last) {
				scores[tokens[i+n-1]] = never
			}
		}
	}
	for _, bad := range r.banned {
		n := len(bad) - 1
		if len(tokens) >= n && slices.Equal(tokens[len(tokens)-n:], bad[:n]) {
			scores[bad[n]] = never
		}
	}
	if written < p.MinNewTokens {
		for _, id := range r.ends {
			scores[id] = never
		}
	}
	if len(r.forced) > 0 && written == most-1 {
		for i := range scores {
			scores[i] = never
		}
		scores[r.forced[0]] = 0
	}
}

// highest is the first of the highest scores.
func highest(v []float32) int32 {
	best := 0
	for i, x := range v {
		if x > v[best] {
			best = i
		}
	}
	return int32(best)
}

// draw picks a token at random. It changes the scores.
func (p *Parameters) draw(scores []float32, random *rand.Rand) int32 {
	if p.Temperature != 1 {
		for i := range scores {
			scores[i] = float32(float64(scores[i]) / p.Temperature)
		}
	}
	if k := p.TopK; k > 0 && k < len(scores) {
		keepTop(scores, k)
	}
	ids, weights := weigh(scores)
	if p.TopP < 1 {
		n := nucleus(weights, p.TopP)
		ids, weights = ids[:n], weights[:n]
	}
	var sum float64
	for _, w := range weights {
		sum += w
	}
	at := random.Float64() * sum
	for i, w := range weights {
		if at -= w; at < 0 {
			return ids[i]
		}
	}
	return ids[0]
}

// keepTop leaves the k highest scores, and what is equal to the last of them.
func keepTop(scores []float32, k int) {
	sorted := slices.Clone(scores)
	slices.Sort(sorted)
	least := sorted[len(sorted)-k]
	for i, x := range scores {
		if x < least {
			scores[i] = never
		}
	}
}

// weigh gives the tokens that may come, likeliest first, with e^score relative to it.
func weigh(scores []float32) (ids []int32, weights []float64) {
	top := scores[highest(scores)]
	if math.IsInf(float64(top), -1) { // everything is banned: the first token is as good as any
		return []int32{0}, []float64{1}
	}
	for i, x := range scores {
		if x != never {
			ids = append(ids, int32(i))
		}
	}
	sort.SliceStable(ids, func(a, b int) bool { return scores[ids[a]] > scores[ids[b]] })
	weights = make([]float64, len(ids))
	for i, id := range ids {
		weights[i] = math.Exp(float64(scores[id] - top))
	}
	return ids, weights
}

// nucleus is how many of the likeliest tokens together have at least probability p
// (Holtzman et al. 2020).
func nucleus(weights []float64, p float64) int {
	var all float64
	for _, w := range weights {
		all += w
	}
	sum := 0.0
	for i, w := range weights {
		if sum += w; sum >= p*all {
			return i + 1
		}
	}
	return len(weights)
}
