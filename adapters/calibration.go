package adapters

import (
	"encoding/json"

	"lorikeet/adapters/invalid"
)

// CalibrationFile stands beside the PEFT files of an adapter, or in the folder of a model,
// that a job calibrated. PEFT and transformers do not read it.
const CalibrationFile = "calibration.json"

// Calibration says how sure a classifier may be: softmax(logits/temperature) is as often
// right as it says. See metrics.Calibration of package tuning/metrics for the rest.
type Calibration struct {
	Method       string  `json:"method"` // temperature_scaling
	Temperature  float64 `json:"temperature"`
	Rows         int     `json:"rows"` // that it was fitted on
	ECE          float64 `json:"ece"`
	Calibrated   float64 `json:"ece_calibrated"`
	AbstainBelow float64 `json:"abstain_below,omitempty"`
	Coverage     float64 `json:"abstain_coverage,omitempty"`
	Accuracy     float64 `json:"abstain_accuracy,omitempty"`
}

// TemperatureScaling is the one method there is.
const TemperatureScaling = "temperature_scaling"

// Marshal writes CalibrationFile.
func (c Calibration) Marshal() []byte {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		panic(err) // finite numbers
	}
	return append(b, '\n')
}

// ParseCalibration reads CalibrationFile. Of what is in it only the method and the
// temperature are used; the rest is a record.
func ParseCalibration(b []byte) (Calibration, error) {
	var c Calibration
	if err := json.Unmarshal(b, &c); err != nil {
		return c, invalid.Field(CalibrationFile, "%v", err)
	}
	if c.Method != TemperatureScaling {
		return c, invalid.Field(CalibrationFile, "method: %q is not known; it must be %q", c.Method, TemperatureScaling)
	}
	if !(c.Temperature >= 1e-3 && c.Temperature <= 1e3) {
		return c, invalid.Field(CalibrationFile, "temperature: must be between 0.001 and 1000, is %v", c.Temperature)
	}
	return c, nil
}
