package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"lorikeet/adapters"
	"lorikeet/adapters/safetensors"
	"lorikeet/inference"
)

// adapterFiles makes the two files of a PEFT adapter on the modules that LoRA targets by
// default, with random factors: the same for the same seed.
func adapterFiles(base *inference.Base, seed uint64, rank int) (config, weights []byte, err error) {
	r := randomOf(seed + 100)
	random := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(0.02 * r.NormFloat64())
		}
		return v
	}
	// No task type: with SEQ_CLS, PEFT wants a head in the file.
	c := adapters.Config{PeftType: "LORA", R: rank, Alpha: float64(2 * rank), Bias: "none", Targets: adapters.Names{List: base.Facts().Targets}}
	a := &adapters.Adapter{Config: c, Factors: map[string]adapters.Factors{}}
	plan, err := c.Plan(base.Layout)
	if err != nil {
		return nil, nil, err
	}
	for _, m := range base.Layout {
		if p, ok := plan.Ranks[m.Path]; ok {
			a.Factors[m.Path] = adapters.Factors{Rank: p.R, In: m.In, Out: m.Out, A: random(p.R * m.In), B: random(m.Out * p.R), Scale: p.Scale}
		}
	}
	tensors, meta := a.Tensors()
	var buf bytes.Buffer
	err = safetensors.Write(&buf, tensors, meta)
	return c.Marshal(), buf.Bytes(), err
}

// adapterFolders writes PEFT folders of the adapters 0 to n-1 of a model, for sides that
// read such.
func (b *bench) adapterFolders(model string, n, rank int) ([]string, error) {
	base, err := inference.OpenBase("bench", model, os.DirFS(model))
	if err != nil {
		return nil, err
	}
	defer func() { _ = base.Close() }()
	var folders []string
	for i := range n {
		config, weights, err := adapterFiles(base, uint64(i), rank)
		if err != nil {
			return nil, err
		}
		dir := filepath.Join(b.scratch, "adapters", filepath.Base(model), fmt.Sprintf("r%d-%d", rank, i))
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, adapters.ConfigFile), config, 0o644),
			os.WriteFile(filepath.Join(dir, adapters.WeightsFile), weights, 0o644)); err != nil {
			return nil, err
		}
		folders = append(folders, dir)
	}
	return folders, nil
}
