package train

import (
	"context"
	"math"
	"slices"
	"strings"

	"lorikeet/tuning/metrics"
)

// evalTexts is how many rows held back are answered in full unless the job says.
const evalTexts = 50

// scoreTexts adds the tokens' scores up, and compares the texts that the model writes
// for some of the rows. METEOR is without WordNet: synonyms do not match.
func (a *attempt) scoreTexts(ctx context.Context, got [][]float32) (loss float64, scores map[string]float64, err error) {
	var hits, asked float64
	for i, e := range a.held {
		loss, hits, asked = loss+float64(got[i][0]), hits+float64(got[i][1]), asked+float64(a.asked(e))
	}
	loss /= math.Max(1, asked)
	scores = map[string]float64{"token_accuracy": hits / math.Max(1, asked)}
	if p := math.Exp(loss); !math.IsInf(p, 0) {
		scores["perplexity"] = p
	}
	texts, refs, err := a.answers(ctx)
	for k, v := range metrics.Generation(texts, refs) {
		scores[k] = v
	}
	return loss, scores, err
}

// answers writes the answers to the first of the rows held back, beside those given.
func (a *attempt) answers(ctx context.Context) (texts, refs []string, err error) {
	n := evalTexts
	if e := a.spec.Evaluate; e != nil && e.GenerateRows != nil {
		n = *e.GenerateRows
	}
	for rows := range slices.Chunk(a.held[:min(n, len(a.held))], evalBatch) {
		ids, err := a.loop.greedy(ctx, rows, min(evalBatch, n), a.maxTarget(), a.ends())
		if err != nil {
			return nil, nil, err
		}
		for i, e := range rows {
			texts = append(texts, strings.TrimSpace(a.base.Text.Decode(ids[i], true)))
			refs = append(refs, strings.TrimSpace(e.answer))
		}
	}
	return texts, refs, nil
}

// ends are the tokens that end an answer.
func (a *attempt) ends() []int32 {
	if a.base.Seq2Seq != nil {
		return a.base.Seq2Seq.Facts().EOS
	}
	if end, ok := a.base.Text.EOS(); ok {
		return []int32{end}
	}
	return nil
}

// measureBase scores the base on the rows held back, before anything is learned: what
// learns starts out as the base.
func (a *attempt) measureBase(ctx context.Context) error {
	if a.place.Step > 0 || len(a.held) == 0 || !a.base.Generates() {
		return nil
	}
	scores, err := a.score(ctx)
	if err != nil {
		return err
	}
	a.place.Base = map[string]float64{}
	for k, v := range scores {
		a.place.Base["base_"+strings.TrimPrefix(k, "eval_")] = v
	}
	return nil
}
