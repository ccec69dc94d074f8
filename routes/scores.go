package routes

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"lorikeet/inference"
	"lorikeet/inference/arch"
)

// resultOf turns logits into labels and scores: softmax; sigmoid when labels do not
// exclude each other; the values themselves for a regression.
func resultOf(row inference.Row, topK *int, logits bool) (result, error) {
	if len(row.Logits) == 0 {
		return result{}, fmt.Errorf("the model gave no output")
	}
	for i, x := range row.Logits {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return result{}, fmt.Errorf("output %d is %v, not a number; are there NaN weights?", i, x)
		}
	}
	return ranked(row, inference.Scores(row.Problem, row.Logits), topK, logits), nil
}

// ranked puts the values of a row in order.
func ranked(row inference.Row, values []float64, topK *int, logits bool) result {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	if row.Problem != arch.Regression { // the outputs of a regression are not rivals: they keep their order
		slices.SortStableFunc(order, func(a, b int) int {
			switch {
			case values[a] > values[b]:
				return -1
			case values[a] < values[b]:
				return 1
			}
			return 0
		})
	}
	best := order[0]
	r := result{Label: label(row.Labels, best), Index: best, Score: float32(values[best])}
	if topK != nil {
		order = order[:min(*topK, len(order))]
	}
	r.Scores = make([]score, len(order))
	for i, j := range order {
		r.Scores[i] = score{Label: label(row.Labels, j), Score: float32(values[j])}
	}
	if logits {
		r.Logits = row.Logits
	}
	return r
}

// label is the name of output i, or the one Hugging Face gives to the nameless.
func label(labels []string, i int) string {
	if i < len(labels) {
		return labels[i]
	}
	return "LABEL_" + strconv.Itoa(i)
}
