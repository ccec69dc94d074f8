package metrics

import "math"

// Class is how one class of a classification fares. Support counts its references.
type Class struct {
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
	Support   int     `json:"support"`
}

// Confusion counts how often class i (row) was taken for class j (column), as
// sklearn.metrics.confusion_matrix does. Indices outside [0, labels) are not
// counted. It panics when want and got differ in length.
func Confusion(want, got []int, labels int) [][]int {
	if len(want) != len(got) {
		panic("metrics: as many predictions as references are needed")
	}
	m := make([][]int, labels)
	for i := range m {
		m[i] = make([]int, labels)
	}
	for i, w := range want {
		if g := got[i]; w >= 0 && w < labels && g >= 0 && g < labels {
			m[w][g]++
		}
	}
	return m
}

// Classes scores every class of a confusion matrix alone, one against the rest. A
// class that was never predicted has precision 0, one without references recall 0.
func Classes(confusion [][]int) []Class {
	all := make([]Class, len(confusion))
	for c, row := range confusion {
		var support, predicted int
		for j := range row {
			support += row[j]
			predicted += confusion[j][c]
		}
		hit := float64(row[c])
		p, r := ratio(hit, float64(predicted)), ratio(hit, float64(support))
		// 2·tp/(2·tp+fp+fn) rather than 2pr/(p+r): one rounding less, as sklearn.
		all[c] = Class{p, r, ratio(2*hit, float64(support+predicted)), support}
	}
	return all
}

// Classification scores class indices in [0, labels). The keys:
//
//	accuracy
//	precision, recall, f1              of class 1 when there are two classes, else the macro mean
//	precision_macro, recall_macro, f1_macro            every class counts the same, also an absent one
//	precision_weighted, recall_weighted, f1_weighted   every class counts by its references
//	precision_micro, recall_micro, f1_micro            all decisions in one pot
//	mcc                                Matthews' correlation coefficient, Gorodkin's form for many classes
//
// They equal sklearn.metrics with labels=range(labels) and zero_division=0. An index
// outside [0, labels) counts as wrong in the accuracy and is left out of the rest.
// Without examples every value is 0. It panics when want and got differ in length.
func Classification(want, got []int, labels int) map[string]float64 {
	confusion := Confusion(want, got, labels)
	classes := Classes(confusion)

	var macro, weighted [3]float64 // precision, recall, f1
	var hits, counted float64
	for c, s := range classes {
		hits += float64(confusion[c][c])
		counted += float64(s.Support)
		for i, v := range [3]float64{s.Precision, s.Recall, s.F1} {
			macro[i] += v
			weighted[i] += v * float64(s.Support)
		}
	}
	for i := range macro {
		macro[i] = ratio(macro[i], float64(labels))
		weighted[i] = ratio(weighted[i], counted)
	}
	head := macro
	if labels == 2 {
		head = [3]float64{classes[1].Precision, classes[1].Recall, classes[1].F1}
	}
	// With one answer for each example every false positive is also a false
	// negative, so the three micro means are one number.
	micro := ratio(hits, counted)
	return map[string]float64{
		"accuracy":  ratio(hits, float64(len(want))),
		"precision": head[0], "recall": head[1], "f1": head[2],
		"precision_macro": macro[0], "recall_macro": macro[1], "f1_macro": macro[2],
		"precision_weighted": weighted[0], "recall_weighted": weighted[1], "f1_weighted": weighted[2],
		"precision_micro": micro, "recall_micro": micro, "f1_micro": micro,
		"mcc": mcc(confusion),
	}
}

// mcc is Gorodkin's R_K ("Comparing two K-category assignments by a K-category
// correlation coefficient", 2004), which is Matthews' coefficient for K = 2.
func mcc(confusion [][]int) float64 {
	var n, hits, cross, refs, preds float64 // Σ, Σ_k C_kk, Σ t_k·p_k, Σ t_k², Σ p_k²
	for c, row := range confusion {
		var t, p float64
		for j := range row {
			t += float64(row[j])
			p += float64(confusion[j][c])
		}
		n += t
		hits += float64(row[c])
		cross += t * p
		refs += t * t
		preds += p * p
	}
	spread := (n*n - refs) * (n*n - preds)
	if spread <= 0 {
		return 0
	}
	return (hits*n - cross) / math.Sqrt(spread)
}
