package metrics

import "unicode"

// Generation scores written texts, each against one reference, with every metric of
// this package that compares texts. The keys:
//
//	bleu, chrf, chrf_pp, ter                  of the corpus, in percent (ter: lower is better);
//	                                          bleu of Chinese is by character, sacrebleu's zh
//	rouge1, rouge2, rougeL, rougeLsum         mean F1 without stemming, 0 to 1
//	meteor, exact_match, token_f1             mean, 0 to 1
//
// Without texts the map is empty. It panics when hyps and refs differ in length.
func Generation(hyps, refs []string) map[string]float64 {
	mustMatch(len(hyps), len(refs))
	m := map[string]float64{}
	if len(hyps) == 0 {
		return m
	}
	n := float64(len(hyps))
	for i, hyp := range hyps {
		r := ROUGE(hyp, refs[i], false)
		m["rouge1"] += r.One.F1 / n
		m["rouge2"] += r.Two.F1 / n
		m["rougeL"] += r.L.F1 / n
		m["rougeLsum"] += r.Lsum.F1 / n
		m["meteor"] += METEOR(hyp, refs[i]) / n
		m["exact_match"] += ExactMatch(hyp, refs[i]) / n
		m["token_f1"] += TokenF1(hyp, refs[i]) / n
	}
	one := make([][]string, len(refs))
	for i, r := range refs {
		one[i] = []string{r}
	}
	m["bleu"] = BLEU(hyps, one, BLEUOptions{Tokenize: tokenizeAs(refs)}).Score
	m["chrf"] = ChrF(hyps, one, ChrFOptions{})
	m["chrf_pp"] = ChrF(hyps, one, ChrFOptions{WordOrder: 2})
	m["ter"] = TER(hyps, one)
	return m
}

// tokenizeAs is how BLEU is to cut these texts into words: Chinese, where most letters
// are Han, has no spaces between them, and 13a would make one word of a sentence.
func tokenizeAs(refs []string) string {
	letters, han := 0, 0
	for _, ref := range refs {
		for _, r := range ref {
			switch {
			case unicode.Is(unicode.Han, r):
				han++
				letters++
			case unicode.IsLetter(r):
				letters++
			}
		}
	}
	if 2*han > letters {
		return "zh"
	}
	return ""
}
