package main

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	for name, c := range map[string]struct {
		values []float64
		want   spread
	}{
		"of nothing":                       {nil, spread{}},
		"of one":                           {[]float64{3}, spread{3, 3, 3}},
		"of an odd number is the middle":   {[]float64{9, 1, 4}, spread{4, 1, 9}},
		"of an even number is between two": {[]float64{4, 1, 2, 9}, spread{3, 1, 9}},
	} {
		before := slices.Clone(c.values)
		if got := spreadOf(c.values); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
		if !slices.Equal(before, c.values) {
			t.Errorf("%s: the values were sorted in place", name)
		}
	}
}

func TestRatiosPairRounds(t *testing.T) {
	if got := ratios([]float64{2, 40, 8}, []float64{1, 20, 2}); !slices.Equal(got, []float64{2, 2, 4}) {
		t.Error(got)
	}
	if got := ratios([]float64{2, 4}, []float64{0}); len(got) != 0 {
		t.Error("a division by nothing is no ratio:", got)
	}
}

func TestPercentile(t *testing.T) {
	v := []float64{5, 1, 4, 2, 3}
	for p, want := range map[float64]float64{0.5: 3, 0.99: 5, 0: 1, 1: 5} {
		if got := percentile(v, p); got != want {
			t.Errorf("percentile %v is %v, want %v", p, got, want)
		}
	}
}

// timesOf makes a case of ours against others, in milliseconds.
func timesOf(group, name string, sides ...side) testCase {
	c := testCase{Group: group, Name: name, Unit: "ms", Sides: sides}
	if group == "generate" || group == "adapters" {
		c.Unit, c.More = "tokens/s", true
	}
	return c
}

func at(name string, values ...float64) side { return side{Name: name, Values: values} }

func TestTargets(t *testing.T) {
	for name, c := range map[string]struct {
		of   testCase
		want []bool // what is met
	}{
		"a forward of one text needs to beat PyTorch f32": {timesOf("forward", "MiniLM 1x16, bare base", at(oursName, 10), at(torchF32, 21), at(torchBF16, 5)), []bool{true}},
		"a large one ONNX Runtime too":                    {timesOf("forward", "MiniLM 8x128, bare base", at(oursName, 10), at(torchF32, 19), at(onnxF32, 12)), []bool{false, true}},
		"in bfloat16 the best of two peers":               {timesOf("forward", "MiniLM 8x128, bare base", at(oursName, 10), at(halfName, 8), at(torchF32, 21), at(torchBF16, 7), at(onnxF32, 9)), []bool{true, false, false}},
		"no peers, no target":                             {timesOf("forward", "MiniLM 8x128, bare base", at(oursName, 10)), nil},
		"a mixed batch may cost five per cent":            {timesOf("forward", "MiniLM 8x128, eight adapters mixed", at(oursName, 105), at(baseName, 100)), []bool{true}},
		"and not ten":                                     {timesOf("forward", "MiniLM 8x128, eight adapters mixed", at(oursName, 110), at(baseName, 100)), []bool{false}},
		"more tokens are better":                          {timesOf("generate", "T5-small, 1 text", at(oursName, 210), at(torchF32, 100)), []bool{true}},
		"fewer are not":                                   {timesOf("generate", "T5-small, 1 text", at(oursName, 190), at(torchF32, 100)), []bool{false}},
		"memory is bounded":                               {timesOf("train", "MiniLM 8x128, full, peak memory", at(oursName, 900), at(torchF32, 800)), []bool{false}},
		"a thousand adapters":                             {timesOf("adapters", "1000 registered, Zipf", at(oursName, 91), at("one adapter", 100)), []bool{true}},
	} {
		t.Run(name, func(t *testing.T) {
			var r report
			r.add(c.of)
			var got []bool
			for _, k := range r.Cases[0].Checks {
				got = append(got, k.met())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v: %v", got, c.want, r.Cases[0].Checks)
			}
		})
	}
	if (check{Got: math.NaN()}).met() {
		t.Error("no number meets no target")
	}
}

func TestMarkdownReplacesItsPartOnly(t *testing.T) {
	first, err := replaced([]byte("# Ours\n\nText.\n"), "one\n")
	if err != nil {
		t.Fatal(err)
	}
	first = append(first, "\n## What was tried\n"...)
	second, err := replaced(first, "two\nthree\n")
	if err != nil {
		t.Fatal(err)
	}
	want := "# Ours\n\nText.\n\n" + markBegin + "\ntwo\nthree\n" + markEnd + "\n\n## What was tried\n"
	if string(second) != want {
		t.Errorf("%q", second)
	}
	again, err := replaced(second, "two\nthree\n")
	if err != nil || !bytes.Equal(again, second) {
		t.Errorf("the same tables change the file: %q %v", again, err)
	}
	for _, text := range []string{markBegin, markEnd, markEnd + markBegin} {
		if _, err := replaced([]byte(text), "x"); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// sampleReport has a case of each form.
func sampleReport() *report {
	r := &report{Command: "go run ./service/bench all", Rounds: 2, Machine: machine(2)}
	r.Machine.Versions["peer"] = "a|b"
	r.add(timesOf("forward", "MiniLM 8x128, bare base", at(oursName, 10, 12), at(torchF32, 30, 24), side{Name: compiled, Note: "not measured: no compiler"}))
	for i, v := range []float64{1, 1.9, 6} {
		x := float64(int(1) << i)
		c := testCase{Group: "growth", Name: "batch", Axis: "batch", X: x, Unit: "ms", Sides: []side{at(oursName, v)}}
		if i > 0 {
			c.Checks = []check{{What: "a step", Want: 2 * slack, Most: true, Got: v / r.Cases[i].Sides[0].Spread.Median}}
		}
		r.add(c)
	}
	return r
}

func TestReportGoesThroughItsFiles(t *testing.T) {
	dir := t.TempDir()
	o := &options{json: filepath.Join(dir, "r.json"), markdown: filepath.Join(dir, "docs", "B.md"), plot: filepath.Join(dir, "docs", "images")}
	r := sampleReport()
	if err := o.write(r); err != nil {
		t.Fatal(err)
	}
	back, err := openReport(o.json)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := back.markdown("images"), r.markdown("images"); got != want {
		t.Errorf("read back: %s\nwant: %s", got, want)
	}
	text, err := os.ReadFile(o.markdown)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| MiniLM 8x128, bare base | lorikeet | 11.0 ms (10.0 to 12.0) |", "| 27.0 ms (24.0 to 30.0) | 2.50 (2.00 to 3.00) |", "times PyTorch f32: 2.50, wanted at least 2.00: met",
		"not measured: no compiler", `a\|b`, "| batch | 1: 1.00 ms, 2: 1.90 ms, 4: 6.00 ms | 1.58 | **no** |", "(images/growth-batch.png)", "(images/forward.png)"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the tables lack %q:\n%s", want, text)
		}
	}
	for _, name := range []string{"growth-batch.png", "forward.png"} {
		b, err := os.ReadFile(filepath.Join(o.plot, name))
		if err != nil || !bytes.HasPrefix(b, []byte("\x89PNG")) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s := r.summary(); !strings.HasPrefix(s, "2 of 3 targets met\n  growth, batch") {
		t.Error(s)
	}
}

func TestPlayLeavesOutAPeerThatFails(t *testing.T) {
	b := &bench{options: &options{rounds: 3, quick: true}, ctx: t.Context()}
	turns := ""
	mark := func(name string, v float64, err error) player {
		return player{name: name, round: func() (float64, error) { turns += name; return v, err }}
	}
	err := b.play(testCase{Group: "g", Name: "n"}, []player{mark("a", 2, nil), mark("b", 0, errors.New("no")), mark("c", 4, nil)})
	if err != nil || turns != "aabcc"+"acacac" {
		t.Errorf("%q %v", turns, err)
	}
	c := b.report.Cases[0]
	if c.Sides[1].Note != "not measured: no" || c.Sides[2].Times.Median != 2 || len(c.Sides[0].Values) != 3 {
		t.Errorf("%+v", c.Sides)
	}
	if err := b.play(testCase{Group: "g", Name: "n"}, []player{mark("a", 0, errors.New("no"))}); err == nil {
		t.Error("ours failed and nobody said so")
	}
	b.only = []string{"other"}
	if err := b.play(testCase{Group: "g", Name: "n"}, []player{mark("a", 0, errors.New("no"))}); err != nil {
		t.Error("a case that was not asked for was run:", err)
	}
}

func TestOthersAreToldApart(t *testing.T) {
	pid, parent, time, ok := parseStat("42 (a) b (c) S 7 42 42 0 -1 4194304 1 2 3 4 10 20 30 40 20 0 1 0 5 6 7")
	if !ok || pid != 42 || parent != 7 || time != 100 {
		t.Error(pid, parent, time, ok)
	}
	for _, line := range []string{"", "42", "42 (a", "x (a) S 7 1 1 1 1 1 1 1 1 1 1 2 3 4", "42 (a) S 7", "42 (a) S 7 1 1 1 1 1 1 1 1 1 x 2 3 4"} {
		if _, _, _, ok := parseStat(line); ok {
			t.Errorf("%q is taken", line)
		}
	}
	if got := others(ticks{100, 10, 1000}, ticks{150, 30, 1100}); got != 0.3 {
		t.Errorf("others took %v", got)
	}
	if others(ticks{}, ticks{}) != 0 {
		t.Error("nothing measured is no noise")
	}
}

func TestADisturbedCaseIsMeasuredAgain(t *testing.T) {
	b := &bench{options: &options{}, ctx: t.Context()}
	n := 0
	if _, err := b.undisturbed("c", func() (func(), error) { return func() { n++ }, nil }); err != nil || n != 1 {
		t.Error(n, err)
	}
	if _, err := b.undisturbed("c", func() (func(), error) { return nil, errors.New("no") }); err == nil {
		t.Error("an error got lost")
	}
}

func TestTrafficCountsAndStops(t *testing.T) {
	r, err := traffic(3, 30*time.Millisecond, func(int) (func() error, error) {
		return func() error { time.Sleep(time.Millisecond); return nil }, nil
	})
	if err != nil || r.PerSec <= 0 || r.P50 < 1 || r.P99 < r.P50 {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := traffic(2, time.Minute, func(n int) (func() error, error) {
		return func() error { return errors.New("refused") }, nil
	}); err == nil {
		t.Error("failed requests were not told of")
	}
}

func TestZipfDrawsInProportion(t *testing.T) {
	draw := zipf(randomOf(1), 100)
	n := make([]float64, 100)
	for range 200000 {
		n[draw()]++
	}
	// Five standard deviations of a count of about 12,000.
	if got := n[0] / n[2]; math.Abs(got-3) > 0.15 {
		t.Errorf("the first is drawn %.2f times as often as the third", got)
	}
	if n[99] == 0 {
		t.Error("the last is never drawn")
	}
}

// The small models are made, opened and read by every vocabulary as planned. A Go
// compiler is needed, as for the benchmark itself.
func TestModelsAreReadAsPlanned(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: builds a command")
	}
	b := &bench{options: &options{cache: t.TempDir()}, scratch: t.TempDir()}
	for _, name := range []string{"quick-bert", "quick-t5", "quick-llama"} {
		dir, err := b.model(context.Background(), name)
		if err != nil {
			t.Fatal(err)
		}
		tokens, err := openTokenizer(settings{Model: dir})
		if err != nil {
			t.Fatal(err)
		}
		if name == "quick-bert" {
			if _, _, err := sample(tokens.Tokenizer, 1, size{2, 16}); err != nil {
				t.Error(err)
			}
			folders, err := b.adapterFolders(dir, 2, 8)
			if err != nil || len(folders) != 2 {
				t.Error(folders, err)
			}
			continue
		}
		if _, ids := promptOf(tokens.Tokenizer, 32); len(ids) < 32 || len(ids) > 40 {
			t.Errorf("%s: a prompt of %d tokens", name, len(ids))
		}
	}
}
