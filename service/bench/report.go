package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
)

// report is the result of a run.
type report struct {
	Command string      `json:"command"`
	Machine machineInfo `json:"machine"`
	Rounds  int         `json:"rounds"`
	Quick   bool        `json:"quick,omitempty"`
	Cases   []testCase  `json:"cases"`
}

// testCase is one thing that all sides do.
type testCase struct {
	Group string `json:"group"`
	Name  string `json:"name"`
	Unit  string `json:"unit"`
	// More says that more is better, as of tokens per second; else less is.
	More bool `json:"more,omitempty"`
	// X is where the case stands on the axis of a plot of growth, Axis its name.
	X      float64 `json:"x,omitempty"`
	Axis   string  `json:"axis,omitempty"`
	Sides  []side  `json:"sides"`  // ours is the first
	Checks []check `json:"checks"` // targets
	// Others is the share of the machine that other programs took meanwhile.
	Others float64 `json:"others,omitempty"`
}

// side is one of those that are compared.
type side struct {
	Name   string    `json:"name"`
	Values []float64 `json:"values,omitempty"` // one a round
	Spread spread    `json:"spread"`
	Times  *spread   `json:"times_faster,omitempty"` // how many times faster (or smaller) ours is
	Note   string    `json:"note,omitempty"`         // why there are no values
}

// check compares a ratio with a target.
type check struct {
	What string  `json:"what"`
	Want float64 `json:"want"`
	Most bool    `json:"most,omitempty"` // want is the most, else the least
	Got  float64 `json:"got"`
}

func (c check) met() bool {
	if math.IsNaN(c.Got) {
		return false
	}
	if c.Most {
		return c.Got <= c.Want
	}
	return c.Got >= c.Want
}

func (c check) String() string {
	word, sign := "missed", "at least"
	if c.met() {
		word = "met"
	}
	if c.Most {
		sign = "at most"
	}
	return fmt.Sprintf("%s: %.2f, wanted %s %.2f: %s", c.What, c.Got, sign, c.Want, word)
}

// add works out the spreads and ratios of a case, checks its targets, prints and keeps it.
func (r *report) add(c testCase) {
	for i := range c.Sides {
		s := &c.Sides[i]
		s.Spread = spreadOf(s.Values)
		if i == 0 || len(s.Values) == 0 || len(c.Sides[0].Values) == 0 {
			continue
		}
		t := ratios(s.Values, c.Sides[0].Values)
		if c.More {
			t = ratios(c.Sides[0].Values, s.Values)
		}
		times := spreadOf(t)
		s.Times = &times
	}
	if r.Quick { // the targets are of real models
		c.Checks = nil
	} else {
		c.Checks = append(c.Checks, targets(c)...)
	}
	r.Cases = append(r.Cases, c)
	fmt.Print(c)
}

// side finds one by name, nil if it has no values.
func (c testCase) side(name string) *side {
	for i := range c.Sides {
		if c.Sides[i].Name == name && len(c.Sides[i].Values) > 0 {
			return &c.Sides[i]
		}
	}
	return nil
}

func (c testCase) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s%s\n", c.Group, c.Name, c.noise())
	for i, s := range c.Sides {
		if s.Note != "" {
			fmt.Fprintf(&b, "  %-24s %s\n", s.Name, s.Note)
			continue
		}
		fmt.Fprintf(&b, "  %-24s %s %s (%s to %s)", s.Name, figure(s.Spread.Median), c.Unit, figure(s.Spread.Low), figure(s.Spread.High))
		if i > 0 && s.Times != nil {
			fmt.Fprintf(&b, "   ratio %.2f (%.2f to %.2f)", s.Times.Median, s.Times.Low, s.Times.High)
		}
		b.WriteByte('\n')
	}
	for _, k := range c.Checks {
		fmt.Fprintf(&b, "  > %s\n", k)
	}
	return b.String()
}

// noise tells of a case that was disturbed.
func (c testCase) noise() string {
	if c.Others <= disturbed {
		return ""
	}
	return fmt.Sprintf(" (others took %.0f %% of the machine)", 100*c.Others)
}

// figure prints three significant digits.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 1:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.3g", v)
	}
}

// summary lists the targets, those missed first.
func (r *report) summary() string {
	var met, missed strings.Builder
	n, all := 0, 0
	for _, c := range r.Cases {
		for _, k := range c.Checks {
			all++
			to := &missed
			if k.met() {
				to = &met
				n++
			}
			fmt.Fprintf(to, "  %s, %s: %s\n", c.Group, c.Name, k)
		}
	}
	if all == 0 {
		return "no targets were checked\n"
	}
	return fmt.Sprintf("%d of %d targets met\n%s%s", n, all, missed.String(), met.String())
}

func (r *report) save(file string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

func openReport(file string) (*report, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var r report
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &r, nil
}
