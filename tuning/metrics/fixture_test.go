package metrics_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"lorikeet/adapters/sharedtest"
)

// references is ../shared/fixtures/metrics/cases.json: what sacrebleu, rouge_score,
// nltk, the SQuAD script and scikit-learn answer.
type references struct {
	Pairs  []pair                     `json:"pairs"`
	Corpus map[string]json.RawMessage `json:"corpus"`
	Mean   struct {
		Sentence float64 `json:"sentence_bleu"`
		METEOR   float64 `json:"meteor_nowordnet"`
		EM       float64 `json:"squad_em"`
		F1       float64 `json:"squad_f1"`
		ROUGE
	} `json:"mean"`
	Classification []classification `json:"classification"`
}

// ROUGE holds precision, recall and F1 of each variant.
type ROUGE struct {
	One      [3]float64 `json:"rouge1"`
	Two      [3]float64 `json:"rouge2"`
	L        [3]float64 `json:"rougeL"`
	Lsum     [3]float64 `json:"rougeLsum"`
	OneStem  [3]float64 `json:"rouge1_stem"`
	TwoStem  [3]float64 `json:"rouge2_stem"`
	LStem    [3]float64 `json:"rougeL_stem"`
	LsumStem [3]float64 `json:"rougeLsum_stem"`
}

type pair struct {
	Hyp      string   `json:"hyp"`
	Ref      string   `json:"ref"`
	TokHyp   string   `json:"tok13a_hyp"`
	TokRef   string   `json:"tok13a_ref"`
	Sentence float64  `json:"sentence_bleu"`
	ChrF     float64  `json:"chrf"`
	METEOR   float64  `json:"meteor_nowordnet"`
	EM       float64  `json:"squad_em"`
	F1       float64  `json:"squad_f1"`
	Porter   []string `json:"porter"`
	ROUGE
}

type prf struct{ Precision, Recall, F1 float64 }

type classification struct {
	Name      string  `json:"name"`
	Classes   int     `json:"num_classes"`
	Want      []int   `json:"y_true"`
	Got       []int   `json:"y_pred"`
	Accuracy  float64 `json:"accuracy"`
	Confusion [][]int `json:"confusion"`
	Macro     prf     `json:"macro"`
	Micro     prf     `json:"micro"`
	Weighted  prf     `json:"weighted"`
	Binary    *prf    `json:"binary"`
	PerClass  struct {
		Precision, Recall, F1, Support []float64
	} `json:"per_class"`
	MCC float64 `json:"mcc"`
}

func fixture(t *testing.T) (r references) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(sharedtest.Fixture(t, "metrics"), "cases.json"))
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s: %.17g, want %.17g", what, got, want)
	}
}
