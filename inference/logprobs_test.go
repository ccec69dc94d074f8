package inference_test

import (
	"math"
	"strings"
	"testing"

	"lorikeet/inference"
	"lorikeet/inference/device/devicetest"
)

// logprobs asks for a text and the log probabilities of its tokens.
func (r rig) logprobs(t *testing.T, q inference.GenerateRequest, top int) (inference.Generated, []inference.TokenLogprob) {
	t.Helper()
	var all []inference.TokenLogprob
	q.Logprobs = &inference.Logprobs{Top: top, Each: func(p inference.TokenLogprob) { all = append(all, p) }}
	return r.generate(t, q), all
}

func TestLogprobsAreOfTheTokensAndDoNotChangeThem(t *testing.T) {
	for name, dir := range writers {
		t.Run(name, func(t *testing.T) {
			r := author(t, devicetest.Go(t), dir(t))
			q := ask("a b", "", 12)
			bare := r.generate(t, q)
			g, all := r.logprobs(t, q, 259) // the whole vocabulary
			if g.Text != bare.Text || len(all) != len(g.Tokens) {
				t.Fatalf("with logprobs %q and %d of %d tokens, without %q", g.Text, len(all), len(g.Tokens), bare.Text)
			}
			var spelled strings.Builder
			for i, p := range all {
				spelled.Write(p.Bytes)
				var sum float64
				for _, top := range p.Top {
					sum += math.Exp(top.Logprob)
				}
				// Greedy takes the likeliest; all of the vocabulary together is certain.
				if p.ID != g.Tokens[i] || p.Top[0].ID != p.ID || p.Top[0].Logprob != p.Logprob || math.Abs(sum-1) > 1e-5 {
					t.Errorf("token %d is %d, told as %d with %v, the likeliest %d with %v; sum %v", i, g.Tokens[i], p.ID, p.Logprob, p.Top[0].ID, p.Top[0].Logprob, sum)
				}
			}
			if got := strings.ToValidUTF8(spelled.String(), "\ufffd"); strings.ReplaceAll(got, "\ufffd", "") != strings.ReplaceAll(g.Text, "\ufffd", "") {
				t.Errorf("the tokens spell %q, the text is %q", got, g.Text)
			}

			drawn := q
			drawn.Sample, drawn.Seed, drawn.Temperature = true, new(uint64), 3
			plain := r.generate(t, drawn)
			hot, said := r.logprobs(t, drawn, 1)
			if plain.Text != hot.Text {
				t.Errorf("logprobs change what is drawn: %q, without %q", hot.Text, plain.Text)
			}
			for i, p := range said {
				if p.Logprob > p.Top[0].Logprob {
					t.Errorf("drawn token %d has %v, more than the likeliest, %v", i, p.Logprob, p.Top[0].Logprob)
				}
			}
			// What the model says of the first token is the same however one is chosen.
			if len(all) > 0 && len(said) > 0 && math.Abs(said[0].Top[0].Logprob-all[0].Top[0].Logprob) > 1e-5 {
				t.Errorf("temperature changes the logprobs: %v, %v", said[0].Top[0].Logprob, all[0].Top[0].Logprob)
			}
		})
	}
}

func TestPenaltiesAndBias(t *testing.T) {
	r := author(t, devicetest.Go(t), writers["llama"](t))
	q := ask("a b", "", 24)
	q.PresencePenalty = 1000
	seen := map[int32]int{}
	for _, id := range r.generate(t, q).Tokens {
		if seen[id]++; seen[id] > 1 {
			t.Errorf("token %d comes twice, though presence costs 1000", id)
		}
	}
	q = ask("a b", "", 8)
	q.Bias = map[int32]float64{65: 1000, 1 << 30: 1000, -1: 1000}
	if g := r.generate(t, q); g.Text != strings.Repeat("A", 8) {
		t.Errorf("with all weight on A the text is %q", g.Text)
	}
	// At a bias of 1000 a token must have come ten times before a penalty of 100 for
	// each time lets another one in.
	q.FrequencyPenalty, q.MaxNewTokens = 100, 16
	if g := r.generate(t, q); !strings.HasPrefix(g.Text, strings.Repeat("A", 9)) || strings.HasPrefix(g.Text, strings.Repeat("A", 12)) {
		t.Errorf("a bias of 1000 against a frequency penalty of 100 gives %q", g.Text)
	}
	q = ask("a b", "", 8)
	q.Bias, q.NumBeams = map[int32]float64{66: 1000}, 2
	if g := r.generate(t, q); g.Text != strings.Repeat("B", 8) {
		t.Errorf("with beams and all weight on B the text is %q", g.Text)
	}
}
