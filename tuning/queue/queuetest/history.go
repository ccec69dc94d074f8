package queuetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"lorikeet/tuning"
)

// CheckHistory checks the events of a job that succeeded: ids grow, each of the steps is
// told once and in order, and the last event tells the end.
func CheckHistory(events []tuning.Event, steps int) error {
	var (
		errs []error
		last [2]int64
		next = 1
	)
	for _, e := range events {
		id, err := parseID(e.ID)
		if err != nil || id[0] < last[0] || id[0] == last[0] && id[1] <= last[1] {
			errs = append(errs, fmt.Errorf("event id %q after %d-%d", e.ID, last[0], last[1]))
		}
		last = id
		if e.Type != "step" {
			continue
		}
		var d tuning.StepData
		if err := json.Unmarshal(e.Data, &d); err != nil {
			errs = append(errs, err)
		}
		if d.Step != next {
			errs = append(errs, fmt.Errorf("step %d is told where %d should be", d.Step, next))
		}
		next = d.Step + 1
	}
	if next != steps+1 {
		errs = append(errs, fmt.Errorf("the last step told is %d, want %d", next-1, steps))
	}
	var end struct{ Status tuning.Status }
	if len(events) == 0 || json.Unmarshal(events[len(events)-1].Data, &end) != nil || end.Status != tuning.Succeeded {
		errs = append(errs, errors.New("the last event does not tell of the success"))
	}
	return errors.Join(errs...)
}

func parseID(s string) (id [2]int64, err error) {
	a, b, _ := strings.Cut(s, "-")
	if id[0], err = strconv.ParseInt(a, 10, 64); err != nil {
		return id, err
	}
	id[1], err = strconv.ParseInt(b, 10, 64)
	return id, err
}
