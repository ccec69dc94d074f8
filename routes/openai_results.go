package routes

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"lorikeet/tuning"
)

// resultsTable writes the steps and evaluations of a job as OpenAI's step_metrics.csv
// does: a row for each step, with what was measured on the validation rows after it.
func resultsTable(events []tuning.Event) ([]byte, error) {
	var m jobMetrics
	for _, e := range events {
		if err := m.add(e); err != nil {
			return nil, fmt.Errorf("event %s: %w", e.ID, err)
		}
	}
	evaluated, extra := map[int]map[string]float64{}, map[string]bool{}
	for _, e := range m.Evaluations {
		named := map[string]float64{}
		for name, x := range e.Metrics {
			named[validName(name)] = x
			extra[validName(name)] = true
		}
		evaluated[e.Step] = named
	}
	columns := slices.Sorted(maps.Keys(extra))
	number := func(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) }
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	_ = w.Write(append([]string{"step", "train_loss", "learning_rate"}, columns...)) // a buffer never fails
	row := func(step int, loss, rate string) {
		cells := []string{strconv.Itoa(step), loss, rate}
		for _, c := range columns {
			cell := ""
			if x, ok := evaluated[step][c]; ok {
				cell = number(x)
			}
			cells = append(cells, cell)
		}
		delete(evaluated, step)
		_ = w.Write(cells)
	}
	for _, s := range m.Steps {
		row(s.Step, number(s.Loss), number(s.LearningRate))
	}
	for _, step := range slices.Sorted(maps.Keys(evaluated)) { // of steps that were not told
		row(step, "", "")
	}
	w.Flush()
	return out.Bytes(), nil
}

// validName is what OpenAI's API calls a metric of the validation rows: eval_loss is
// valid_loss, eval_token_accuracy valid_mean_token_accuracy.
func validName(name string) string {
	rest, ok := strings.CutPrefix(name, "eval_")
	switch {
	case rest == "token_accuracy":
		return "valid_mean_token_accuracy"
	case ok:
		return "valid_" + rest
	}
	return name
}

// tuningEvent is a line of a job's history.
type tuningEvent struct {
	ID        string         `json:"id" example:"ftevent-12-0"`
	Object    string         `json:"object" example:"fine_tuning.job.event" enums:"fine_tuning.job.event"`
	CreatedAt int64          `json:"created_at" example:"1764288000"`
	Level     string         `json:"level" example:"info" enums:"info,warn,error"`
	Message   string         `json:"message" example:"Step 12/100: training loss=0.43"`
	Type      string         `json:"type" example:"metrics" enums:"message,metrics"`
	Data      map[string]any `json:"data"` // what the event of the other routes tells, under OpenAI's names
} // @name FineTuningEvent

const eventPrefix = "ftevent-"

// eventOf tells an event in words and in numbers.
func eventOf(e tuning.Event) (tuningEvent, error) {
	out := tuningEvent{ID: eventPrefix + e.ID, Object: "fine_tuning.job.event", CreatedAt: e.Time.Unix(), Level: "info", Type: "message", Data: map[string]any{}}
	if err := json.Unmarshal(e.Data, &out.Data); err != nil {
		return out, err
	}
	switch e.Type {
	case "step":
		var s tuning.StepData
		if err := json.Unmarshal(e.Data, &s); err != nil {
			return out, err
		}
		out.Type = "metrics"
		out.Message = fmt.Sprintf("Step %d/%d: training loss=%.2f", s.Step, s.TotalSteps, s.Loss)
		out.Data = map[string]any{"step": s.Step, "total_steps": s.TotalSteps, "train_loss": s.Loss, "learning_rate": s.LearningRate, "epoch": s.Epoch}
	case "eval":
		var s tuning.EvalData
		if err := json.Unmarshal(e.Data, &s); err != nil {
			return out, err
		}
		out.Type = "metrics"
		out.Data = map[string]any{"step": s.Step, "epoch": s.Epoch, "best": s.Best}
		for name, x := range s.Metrics {
			out.Data[validName(name)] = x
		}
		out.Message = fmt.Sprintf("Step %d: evaluated", s.Step)
		if loss, ok := s.Metrics["eval_loss"]; ok {
			out.Message = fmt.Sprintf("Step %d: validation loss=%.2f", s.Step, loss)
		}
	case "checkpoint":
		out.Message = fmt.Sprintf("Checkpoint created at step %v", out.Data["step"])
	case "status":
		status, _ := out.Data["status"].(string)
		out.Message = map[string]string{string(tuning.Queued): "The job waits in the queue", string(tuning.Running): "Fine-tuning job started",
			string(tuning.Paused): "The job is paused", string(tuning.Succeeded): "The job has successfully completed",
			string(tuning.Failed): "The job failed", string(tuning.Cancelled): "The job was cancelled"}[status]
		if out.Message == "" {
			out.Message = "The job is " + status
		}
		if phase, _ := out.Data["phase"].(string); status == string(tuning.Running) && phase != "" {
			out.Message = "The job is " + phase
		}
		if e, ok := out.Data["error"].(map[string]any); ok && status == string(tuning.Failed) {
			out.Level = "error"
			out.Message += fmt.Sprintf(": %v", e["message"])
		}
	default:
		out.Message = e.Type
	}
	return out, nil
}
