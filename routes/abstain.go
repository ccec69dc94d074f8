package routes

import (
	"bytes"
	"encoding/json"
	"fmt"

	"lorikeet/adapters/invalid"
	"lorikeet/inference"
	"lorikeet/inference/arch"
)

// result is what a request is told of one row.
func (in predictRequest) result(row inference.Row) (result, error) {
	r, err := resultOf(row, in.TopK, in.Logits)
	if err != nil || !in.Calibrated && in.AbstainBelow == nil {
		return r, err
	}
	who := "the model"
	if row.Adapter != nil {
		who = row.Adapter.String()
	}
	field := "abstain_below"
	if in.Calibrated {
		field = "calibrated"
	}
	if row.Problem == arch.Regression {
		return r, invalid.Field(field, "is for classifications; %s gives values", who)
	}
	known := row.Temperature > 0 && row.Problem == arch.SingleLabel
	if known {
		r = ranked(row, inference.Calibrated(row), in.TopK, in.Logits)
	} else if in.Calibrated {
		return r, invalid.Field("calibrated", "%s has no calibration: a job makes one when it classifies and has at least 20 validation rows", who)
	}
	r.Calibrated = &known
	if in.AbstainBelow != nil {
		r.Abstained = new(float64(r.Score) < *in.AbstainBelow)
	}
	return r, nil
}

// MarshalJSON leaves label and index out of the answer to a text on which the model
// abstains, so that nobody takes them for one.
func (r result) MarshalJSON() ([]byte, error) {
	type bare result
	var v any = bare(r)
	if r.Abstained != nil && *r.Abstained {
		v = struct {
			Label *string `json:"label"`
			Index *int    `json:"index"`
			bare
		}{bare: bare(r)}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // as the whole answer is
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode a result: %w", err)
	}
	return b.Bytes(), nil
}
