package train

import (
	"context"
	"math"
	"slices"
	"strings"

	"lorikeet/tuning"
	"lorikeet/tuning/metrics"
)

// evalTexts is how many rows held back are answered in full unless the job says.
const evalTexts = 50

// scoreTexts adds the tokens' scores up, and compares the texts that the model writes
// for some of the rows (see metrics.Generation). METEOR is nltk's without its WordNet:
// synonyms do not match.
func (a *attempt) scoreTexts(ctx context.Context, got [][]float32) (loss float64, scores map[string]float64, err error) {
	var hits, asked float64
	for i, e := range a.held {
		loss, hits, asked = loss+float64(got[i][0]), hits+float64(got[i][1]), asked+a.asked(e)
	}
	asked = max(asked, smallest)
	loss /= asked
	scores = map[string]float64{"token_accuracy": hits / asked}
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
	n := a.generateRows()
	for rows := range slices.Chunk(a.held[:min(n, len(a.held))], evalBatch) {
		ids, err := a.loop.greedy(ctx, rows, min(evalBatch, n), a.written(a.maxTarget()), a.base.Ends())
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

// written is how many tokens an answer of up to most has at most before its end.
func (a *attempt) written(most int) int {
	if a.base.ForcesEnd() {
		return most - 1
	}
	return most
}

// generateRows is how many of the rows held back are answered in full.
func (a *attempt) generateRows() int {
	if e := a.spec.Evaluate; e != nil && e.GenerateRows != nil {
		return *e.GenerateRows
	}
	return evalTexts
}

// translationMetrics are measured of translations unless the job says otherwise: those
// that the field reports.
var translationMetrics = []string{"bleu", "chrf", "perplexity", "token_accuracy"}

// wanted reports whether the job asks for a metric; without a list it asks for all.
func (a *attempt) wanted(metric string) bool {
	switch e := a.spec.Evaluate; {
	case e != nil && len(e.Metrics) > 0:
		return slices.Contains(e.Metrics, metric)
	case a.base.Generates() && a.spec.SourceLang != "":
		return slices.Contains(translationMetrics, metric)
	}
	return true
}

// measureBase scores the base on the rows held back, before anything is learned: what
// learns starts out as the base. It is the evaluation at step 0, and stands beside the
// last one in the job's result.
func (a *attempt) measureBase(ctx context.Context) error {
	if a.place.Step > 0 || len(a.held) == 0 || !a.base.Generates() {
		return nil
	}
	scores, err := a.score(ctx)
	if err != nil {
		return err
	}
	a.report.Event("eval", tuning.EvalData{Metrics: scores})
	a.place.Base = map[string]float64{}
	for k, v := range scores {
		a.place.Base["base_"+strings.TrimPrefix(k, "eval_")] = v
	}
	return nil
}
