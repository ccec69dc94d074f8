package inference

import (
	"math"

	"lorikeet/inference/text"
)

// MostLogprobs is how many of the likeliest tokens are told beside the one written.
const MostLogprobs = 20

// Logprobs asks for the log probabilities of a text's tokens: of the one written and of
// the Top likeliest, as the model gives them, before penalties, temperature and the rest
// of what chooses. Each is called, on the goroutine of Generate, for each token in turn,
// before the piece of text that it is in. With beams there are none.
type Logprobs struct {
	Top  int // 0 to MostLogprobs
	Each func(TokenLogprob)
}

// TokenLogprob is one token of a text.
type TokenLogprob struct {
	ID      int32
	Bytes   []byte  // that it stands for, perhaps not whole characters
	Logprob float64 // natural logarithm
	Top     []TokenLogprob
}

// scored is what the model said of a token, by its scores before they were changed.
func scored(scores []float32, token int32, top int) TokenLogprob {
	top1 := float64(scores[highest(scores)])
	var sum float64
	for _, x := range scores {
		sum += math.Exp(float64(x) - top1)
	}
	less := top1 + math.Log(sum)
	said := TokenLogprob{ID: token, Logprob: float64(scores[token]) - less}
	for _, id := range best(scores, top) {
		said.Top = append(said.Top, TokenLogprob{ID: id, Logprob: float64(scores[id]) - less})
	}
	return said
}

// spelled adds what the tokens stand for.
func (p TokenLogprob) spelled(t *text.Tokenizer) TokenLogprob {
	p.Bytes = t.Spell(p.ID)
	for i := range p.Top {
		p.Top[i] = p.Top[i].spelled(t)
	}
	return p
}

// teller passes tokens on to who asked for them.
func (p *Parameters) teller(t *text.Tokenizer) func(TokenLogprob) {
	return func(token TokenLogprob) {
		if p.Logprobs.Each != nil {
			p.Logprobs.Each(token.spelled(t))
		}
	}
}

// logprob of the i-th token of a single candidate; nil where nobody asked for it.
func (d *draft) logprob(i int) *TokenLogprob {
	w, ok := d.search.(*walk)
	if !ok || i >= len(w.said) {
		return nil
	}
	return new(w.said[i])
}

// discourage lowers the scores of tokens that were written already, each by presence and
// once more by frequency for every time it was, and adds what the caller adds to tokens'
// scores (OpenAI's presence_penalty, frequency_penalty and logit_bias).
func (p *Parameters) discourage(scores []float32, written []int32) {
	if p.PresencePenalty != 0 || p.FrequencyPenalty != 0 {
		times := map[int32]int{}
		for _, id := range written {
			times[id]++
		}
		for id, n := range times {
			if int(id) < len(scores) {
				scores[id] -= float32(p.PresencePenalty + p.FrequencyPenalty*float64(n))
			}
		}
	}
	for id, bias := range p.Bias {
		if id >= 0 && int(id) < len(scores) {
			scores[id] += float32(bias)
		}
	}
}

// discourages reports whether discourage does anything.
func (p *Parameters) discourages() bool {
	return p.PresencePenalty != 0 || p.FrequencyPenalty != 0 || len(p.Bias) > 0
}
