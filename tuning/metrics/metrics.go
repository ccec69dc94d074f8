// Package metrics scores predictions against references. Every number equals that
// of the implementation the field quotes: scikit-learn for classification and
// regression, sacrebleu for BLEU, chrF and TER, rouge_score for ROUGE, nltk for
// METEOR, the official script for SQuAD. Each metric has one file, which names its
// paper and its reference.
//
// Scores keep the scale of their reference: BLEU, chrF and TER are percentages, the
// rest are shares in [0, 1]. No map that a function here returns holds NaN or an
// infinity, because JSON has no way to write them: where a ratio has a zero
// denominator it is 0, as scikit-learn's zero_division=0, and a metric that has no
// finite value at all is left out.
package metrics

import "math"

// ratio is a/b, and 0 where b is 0.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// harmonic is the harmonic mean of precision and recall, F1; 0 where both are 0.
func harmonic(p, r float64) float64 { return ratio(2*p*r, p+r) }

// finite drops what JSON cannot hold.
func finite(m map[string]float64) map[string]float64 {
	for name, v := range m {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			delete(m, name)
		}
	}
	return m
}
