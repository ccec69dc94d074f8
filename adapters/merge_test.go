package adapters

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"lorikeet/adapters/invalid"
)

// mergeLayout is the model of testdata/merge.py.
var mergeLayout = Layout{
	{Kind: Linear, Path: "layer.0.query", In: 6, Out: 5}, {Kind: Linear, Path: "layer.0.value", In: 6, Out: 4},
	{Kind: Linear, Path: "layer.1.query", In: 6, Out: 5}, {Kind: Linear, Path: "layer.1.value", In: 6, Out: 4},
	{Kind: Head, Path: "classifier", In: 6, Out: 2, Bias: true, Labels: true},
	{Kind: Embedding, Path: "embed_tokens", In: 9, Out: 6},
}

// recordedAdapter is an adapter of testdata/merge.json.
type recordedAdapter struct {
	R       int
	Alpha   float64
	Factors map[string][]float32
}

func (r recordedAdapter) adapter(t *testing.T) *Adapter {
	t.Helper()
	a := &Adapter{Config: Config{PeftType: "LORA", Bias: "none", R: r.R, Alpha: r.Alpha}, Factors: map[string]Factors{}}
	for _, m := range mergeLayout {
		if down, ok := r.Factors[m.Path+".lora_A"]; ok {
			a.Factors[m.Path] = Factors{Rank: r.R, In: m.In, Out: m.Out, A: down, B: r.Factors[m.Path+".lora_B"], Scale: r.Alpha / float64(r.R)}
		}
	}
	return a
}

func TestMergingAgreesWithPEFT(t *testing.T) {
	b, err := os.ReadFile("testdata/merge.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded struct {
		Seed     uint64
		Adapters map[string]recordedAdapter
		Cases    []struct {
			Adapters []string
			Weights  []float64
			Method   string `json:"combination_type"`
			Density  float64
			Rank     int    `json:"svd_rank"`
			Sign     string `json:"majority_sign_method"`
			R        int
			Factors  map[string][]float32
		}
	}
	if err := json.Unmarshal(b, &recorded); err != nil {
		t.Fatal(err)
	}
	for _, c := range recorded.Cases {
		t.Run(fmt.Sprint(c.Method, c.Sign, c.Adapters, c.Rank), func(t *testing.T) {
			m := Merging{Method: c.Method, Rank: c.Rank, Density: c.Density, Sign: c.Sign, Seed: recorded.Seed}
			if m.Sign == "" {
				m.Sign = "total"
			}
			var parts []*Adapter
			for i, name := range c.Adapters {
				m.Parts = append(m.Parts, Part{Weight: c.Weights[i]})
				parts = append(parts, recorded.Adapters[name].adapter(t))
			}
			got, err := Merge(t.Context(), m, parts, mergeLayout)
			if err != nil {
				t.Fatal(err)
			}
			worst, compared := 0.0, 0
			for path, f := range got.Factors {
				sides, wanted := map[string][]float32{"lora_A": f.A, "lora_B": f.B}, c.Factors
				if m.updates() { // the signs of singular vectors are free
					sides = map[string][]float32{"delta": product(f)}
					wanted = map[string][]float32{path + ".delta": product(Factors{Rank: c.R, In: f.In, Out: f.Out, A: c.Factors[path+".lora_A"], B: c.Factors[path+".lora_B"]})}
				}
				for side, v := range sides {
					want := wanted[path+"."+side]
					if len(v) != len(want) {
						t.Fatalf("%s.%s has %d values, PEFT's %d", path, side, len(v), len(want))
					}
					for k := range v {
						worst = max(worst, math.Abs(float64(v[k]-want[k])))
						compared++
					}
				}
				if f.Rank != c.R || f.Scale != 1 {
					t.Errorf("%s: rank %d and scale %v, PEFT has rank %d", path, f.Rank, f.Scale, c.R)
				}
			}
			t.Logf("%d values, off by %.1e at most", compared, worst)
			within := 1e-5
			if m.updates() { // singular vectors in float32, the nearer the values the worse
				within = 1e-4
			}
			if worst > within || compared == 0 || len(got.Factors) != len(c.Factors)/2 {
				t.Errorf("%d values are off by up to %v", compared, worst)
			}
			if p, err := got.Config.Plan(mergeLayout); err != nil || len(p.Ranks) != len(got.Factors) || p.Ranks["layer.0.query"].Scale != 1 {
				t.Errorf("its configuration means %+v, %v", p, err)
			}
		})
	}
}

// product is B·A.
func product(f Factors) []float32 {
	out := make([]float32, f.Out*f.In)
	for o := range f.Out {
		for i := range f.In {
			for r := range f.Rank {
				out[o*f.In+i] += f.B[o*f.Rank+r] * f.A[r*f.In+i]
			}
		}
	}
	return out
}

// headed is a small adapter with a head.
func headed(scale float32, labels ...string) *Adapter {
	return &Adapter{Config: Config{PeftType: "LORA", Bias: "none", R: 1, Alpha: 1, Save: []string{"classifier"}},
		Factors: map[string]Factors{"layer.0.query": {Rank: 1, In: 6, Out: 5, A: []float32{scale, 0, 0, 0, 0, 0}, B: []float32{scale, 0, 0, 0, 0}, Scale: 1}},
		Saved:   map[string]Dense{"classifier": {In: 6, Out: 2, Weight: slices.Repeat([]float32{scale}, 12), Bias: []float32{scale, -scale}}},
		Meta:    Meta{Labels: labels}}
}

func TestHeadsAreAveraged(t *testing.T) {
	m := Merging{Method: MergeLinear, Sign: "total", Parts: []Part{{Weight: 3}, {Weight: 1}}}
	got, err := Merge(t.Context(), m, []*Adapter{headed(1, "no", "yes"), headed(5, "no", "yes")}, mergeLayout)
	if err != nil {
		t.Fatal(err)
	}
	if d := got.Saved["classifier"]; d.Weight[0] != 2 || d.Bias[1] != -2 || !slices.Equal(got.Meta.Labels, []string{"no", "yes"}) {
		t.Errorf("%+v", got)
	}
	if !slices.Equal(got.Config.Targets.List, []string{"layer.0.query"}) { // "query" would mean layer.1's too
		t.Errorf("targets %v", got.Config.Targets)
	}
}

func TestMergingIsRefusedWithTheReason(t *testing.T) {
	good := Merging{Method: MergeLinear, Sign: "total", Parts: []Part{{Weight: 1}, {Weight: 1}}}
	with := func(change func(*Merging)) Merging {
		m := good
		m.Parts = slices.Clone(m.Parts)
		change(&m)
		return m
	}
	wide := headed(1, "no", "yes")
	wide.Config.R, wide.Factors = 2, map[string]Factors{"layer.0.query": {Rank: 2, In: 6, Out: 5, A: make([]float32, 12), B: make([]float32, 10), Scale: 1}}
	dora := headed(1, "no", "yes")
	dora.Config.DoRA = true
	headless := headed(1)
	headless.Saved = nil
	embedded := headed(1, "no", "yes")
	embedded.Factors = map[string]Factors{"embed_tokens": {Rank: 1, In: 9, Out: 6, A: make([]float32, 9), B: make([]float32, 6), Scale: 1}}
	for name, c := range map[string]struct {
		m     Merging
		other *Adapter
		field string
	}{
		"an unknown method":  {with(func(m *Merging) { m.Method = "soup" }), headed(1, "no", "yes"), "method"},
		"no density":         {with(func(m *Merging) { m.Method = MergeTies }), headed(1, "no", "yes"), "density"},
		"an unknown sign":    {with(func(m *Merging) { m.Sign = "loudest" }), headed(1, "no", "yes"), "majority_sign_method"},
		"a weight of 0":      {with(func(m *Merging) { m.Parts[1].Weight = 0 }), headed(1, "no", "yes"), "adapters[1].weight"},
		"weights of sum 0":   {with(func(m *Merging) { m.Parts[1].Weight = -1 }), headed(1, "no", "yes"), "adapters"},
		"another rank":       {good, wide, "adapters[1]"},
		"a rank without svd": {with(func(m *Merging) { m.Rank = 2 }), headed(1, "no", "yes"), "svd_rank"},
		"a rank below 1":     {with(func(m *Merging) { m.Method, m.Rank = MergeSVD, -1 }), headed(1, "no", "yes"), "svd_rank"},
		"a huge rank":        {with(func(m *Merging) { m.Method, m.Rank = MergeSVD, 1<<40 }), headed(1, "no", "yes"), "svd_rank"},
		"ties_svd, undense":  {with(func(m *Merging) { m.Method = "ties_svd" }), headed(1, "no", "yes"), "density"},
		"DoRA":               {good, dora, "adapters[1]"},
		"other labels":       {good, headed(1, "yes", "no"), "adapters[1]"},
		"one without a head": {good, headless, "adapters[1]"},
		"an embedding":       {good, embedded, "adapters[1]"},
	} {
		_, err := Merge(t.Context(), c.m, []*Adapter{headed(1, "no", "yes"), c.other}, mergeLayout)
		if faults := invalid.Faults(err); len(faults) == 0 || faults[0].Field != c.field || strings.Contains(faults[0].Reason, "%!") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The sum of updates of small rank is decomposed by its factors; written out it must come
// to the same.
func TestBothWaysToDecompose(t *testing.T) {
	mod := Module{Kind: Linear, Path: "big", In: 40, Out: 30}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	part := func(rank int) *Adapter {
		f := Factors{Rank: rank, In: mod.In, Out: mod.Out, Scale: 0.5, A: make([]float32, rank*mod.In), B: make([]float32, mod.Out*rank)}
		for _, v := range [][]float32{f.A, f.B} {
			for i := range v {
				v[i] = float32(random.NormFloat64())
			}
		}
		return &Adapter{Config: Config{PeftType: "LORA", Bias: "none", R: rank}, Factors: map[string]Factors{"big": f}}
	}
	parts := []*Adapter{part(3), part(5)}
	m := Merging{Method: MergeSVD, Sign: "total", Parts: []Part{{Weight: 1.5}, {Weight: -0.7}}}
	for _, rank := range []int{1, 4, 8, 20} {
		m.Rank = rank
		thin, err := Merge(t.Context(), m, parts, Layout{mod})
		if err != nil {
			t.Fatal(err)
		}
		whole := m
		whole.Method, whole.Density = "magnitude_prune_svd", 1 // nothing is dropped
		dense, err := Merge(t.Context(), whole, parts, Layout{mod})
		if err != nil {
			t.Fatal(err)
		}
		worst := 0.0
		a, b := product(thin.Factors["big"]), product(dense.Factors["big"])
		for i := range a {
			worst = max(worst, math.Abs(float64(a[i]-b[i])))
		}
		if f := thin.Factors["big"]; worst > 1e-4 || f.Rank != rank || len(f.A) != rank*mod.In || slices.Max(a) < 1 {
			t.Errorf("rank %d: off by %v", f.Rank, worst)
		}
	}
}
