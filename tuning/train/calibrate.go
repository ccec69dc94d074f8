package train

import (
	"context"

	"lorikeet/adapters"
	"lorikeet/inference/arch"
	"lorikeet/tuning/metrics"
)

// fewest rows held back that a temperature is fitted on: with fewer it would follow
// chance.
const fewest = 20

// calibrate fits a temperature to the rows held back, with the values that will be
// registered, and adds to the metrics what it does: the logits, and the scores that nobody
// asked to be calibrated, stay as they are. It gives nil where there is nothing to fit.
func (a *attempt) calibrate(ctx context.Context, scores map[string]float64) (*adapters.Calibration, error) {
	if a.target.problem != arch.SingleLabel || len(a.held) < fewest {
		return nil, nil
	}
	a.report.Phase("evaluating")
	logits, err := a.predictHeld(ctx)
	if err != nil {
		return nil, err
	}
	labels := make([]int, len(a.held))
	for i, e := range a.held {
		labels[i] = e.label
	}
	c := metrics.Calibrate(logits, labels)
	scores["eval_ece"], scores["eval_ece_calibrated"], scores["temperature"] = c.ECE, c.Calibrated, c.Temperature
	if c.AbstainBelow > 0 {
		scores["abstain_below"], scores["abstain_coverage"], scores["abstain_accuracy"] = c.AbstainBelow, c.Coverage, c.Accuracy
	}
	return &adapters.Calibration{Method: adapters.TemperatureScaling, Temperature: c.Temperature, Rows: len(a.held), ECE: c.ECE, Calibrated: c.Calibrated,
		AbstainBelow: c.AbstainBelow, Coverage: c.Coverage, Accuracy: c.Accuracy}, nil
}
