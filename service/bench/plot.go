package main

import (
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// picture is one plot: either points of growth or bars of ratios.
type picture struct {
	file, title string
	cases       []testCase
	growth      bool
}

// plots are those that the cases of one group make.
func plots(cases []testCase) []picture {
	var out []picture
	for _, axis := range axesOf(cases) {
		p := picture{file: cases[0].Group + "-" + slug(axis), title: axis, growth: true}
		for _, c := range cases {
			if c.Axis == axis {
				p.cases = append(p.cases, c)
			}
		}
		if len(p.cases) > 1 {
			out = append(out, p)
		}
	}
	bars := picture{file: cases[0].Group, title: titles[cases[0].Group] + ": how many times as fast as the peers"}
	for _, c := range cases {
		if c.Axis == "" && slices.ContainsFunc(c.Sides, func(s side) bool { return s.Times != nil }) {
			bars.cases = append(bars.cases, c)
		}
	}
	if len(bars.cases) > 0 {
		out = append(out, bars)
	}
	return out
}

// axesOf lists the axes of the cases in their order.
func axesOf(cases []testCase) []string {
	var axes []string
	for _, c := range cases {
		if c.Axis != "" && !slices.Contains(axes, c.Axis) {
			axes = append(axes, c.Axis)
		}
	}
	return axes
}

func slug(s string) string { return strings.NewReplacer(" ", "-", ",", "").Replace(s) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// plot writes every picture of the report into a folder.
func (r *report) plot(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, g := range groups {
		var cases []testCase
		for _, c := range r.Cases {
			if c.Group == g.name {
				cases = append(cases, c)
			}
		}
		if len(cases) == 0 {
			continue
		}
		for _, p := range plots(cases) {
			draw := p.bars
			if p.growth {
				draw = p.lines
			}
			if err := draw(filepath.Join(dir, p.file+".png")); err != nil {
				return err
			}
		}
	}
	return nil
}

// lines plots the points on two logarithmic axes: what grows linearly has the slope of
// the dashed line.
func (p picture) lines(file string) error {
	pl := plot.New()
	pl.Title.Text = p.title
	pl.X.Label.Text, pl.Y.Label.Text = p.title, p.cases[0].Unit
	pl.X.Scale, pl.Y.Scale = plot.LogScale{}, plot.LogScale{}
	pl.Add(plotter.NewGrid())
	var ticks []plot.Tick
	for _, c := range p.cases {
		ticks = append(ticks, plot.Tick{Value: c.X, Label: figure(c.X)})
	}
	pl.X.Tick.Marker = plot.ConstantTicks(ticks)
	pl.Y.Tick.Marker = plot.LogTicks{Prec: -1}
	var lines []any
	for i, s := range p.cases[0].Sides {
		var points plotter.XYs
		for _, c := range p.cases {
			if i < len(c.Sides) && c.Sides[i].Spread.Median > 0 {
				points = append(points, plotter.XY{X: c.X, Y: c.Sides[i].Spread.Median})
			}
		}
		lines = append(lines, s.Name, points)
	}
	if err := plotutil.AddLinePoints(pl, lines...); err != nil {
		return err
	}
	if first := p.cases[0]; !first.More {
		last := p.cases[len(p.cases)-1]
		y := first.Sides[0].Spread.Median
		line, err := plotter.NewLine(plotter.XYs{{X: first.X, Y: y}, {X: last.X, Y: y * last.X / first.X}})
		if err != nil {
			return err
		}
		line.Dashes = plotutil.Dashes(2)
		pl.Add(line)
		pl.Legend.Add("linear", line)
	} else {
		pl.Y.Scale, pl.Y.Tick.Marker, pl.Y.Min = plot.LinearScale{}, plot.DefaultTicks{}, 0
	}
	pl.Legend.Top, pl.Legend.Left = !p.cases[0].More, true
	return pl.Save(5*vg.Inch, 3.4*vg.Inch, file)
}

// bars plots, for each case, the ratio to each peer. The line at 1 is as fast as ours.
func (p picture) bars(file string) error {
	pl := plot.New()
	pl.Title.Text = p.title
	pl.X.Label.Text = "times as fast (memory: as small)"
	var names []string // of the peers, in the order they come
	for _, c := range p.cases {
		for _, s := range c.Sides[1:] {
			if s.Times != nil && !slices.Contains(names, s.Name) {
				names = append(names, s.Name)
			}
		}
	}
	width := vg.Points(math.Max(3, 24/float64(len(names))))
	labels := make([]string, len(p.cases))
	for i, c := range p.cases {
		labels[len(p.cases)-1-i] = c.Name
	}
	for n, name := range names {
		values := make(plotter.Values, len(p.cases))
		for i, c := range p.cases {
			if s := c.side(name); s != nil && s.Times != nil {
				values[len(p.cases)-1-i] = s.Times.Median
			}
		}
		bar, err := plotter.NewBarChart(values, width)
		if err != nil {
			return err
		}
		bar.Horizontal = true
		bar.LineStyle.Width = 0
		bar.Color = plotutil.Color(n)
		bar.Offset = width * vg.Length(float64(len(names)-1)/2-float64(n))
		pl.Add(bar)
		pl.Legend.Add(name, bar)
	}
	pl.NominalY(labels...)
	one, err := plotter.NewLine(plotter.XYs{{X: 1, Y: -0.5}, {X: 1, Y: float64(len(p.cases)) - 0.5}})
	if err != nil {
		return err
	}
	pl.Add(one)
	pl.X.Min = 0
	pl.Legend.Top = true
	return pl.Save(7*vg.Inch, vg.Length(1.2+0.36*float64(len(p.cases)))*vg.Inch, file)
}
