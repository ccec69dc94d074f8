package main

import (
	"context"
	"fmt"
)

// training makes single steps of full and LoRA fine-tunes: AdamW, dropout, the gradient's
// norm bounded by 1, all texts of one length. The peak of memory is that of the processes.
func training(ctx context.Context, b *bench) error {
	type work struct {
		reader
		size
	}
	all := pick(b.options, []work{{reader{"quick-bert", "BERT"}, size{4, 16}}},
		[]work{{reader{"minilm", "MiniLM"}, size{8, 128}}, {reader{"minilm", "MiniLM"}, size{16, 128}}, {reader{"bert-base", "BERT-base"}, size{8, 128}}})
	for _, w := range all {
		for _, lora := range []bool{false, true} {
			name := fmt.Sprintf("%s %s, %s", w.title, w.size, map[bool]string{true: "LoRA", false: "full"}[lora])
			if !b.wants("train", name) {
				continue
			}
			if err := trainOne(ctx, b, w.model, w.size, lora, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// taught is what a side says of its steps.
type taught struct {
	Seconds float64 `json:"seconds"`
	PeakMiB float64 `json:"peak_mib"`
}

func trainOne(ctx context.Context, b *bench, model string, n size, lora bool, name string) error {
	dir, t, err := b.tokenized(ctx, model)
	if err != nil {
		return err
	}
	with := settings{Model: dir, LoRA: lora}
	if with.Texts, with.IDs, err = sample(t, 7, n); err != nil {
		return err
	}
	memory := testCase{Group: "train", Name: name + ", peak memory", Unit: "MiB"}
	var players []player
	add := func(title string, p *process, err error) error {
		if err != nil {
			return err
		}
		i := len(memory.Sides)
		memory.Sides = append(memory.Sides, side{Name: title})
		players = append(players, timedBy(title, func(repeat int) (float64, error) {
			var r taught
			err := p.ask(order{Op: "step", Repeat: repeat}, &r)
			memory.Sides[i].Values = []float64{r.PeakMiB}
			return r.Seconds, err
		}))
		return nil
	}
	ours, err := b.ours("train", with)
	defer func() { ours.close() }()
	if err := add(oursName, ours, err); err != nil {
		return err
	}
	if !b.noPeers {
		for _, bf16 := range []bool{false, true} {
			with.BF16 = bf16
			p, err := b.peer("train", with)
			defer func() { p.close() }()
			if err := add(map[bool]string{false: torchF32, true: torchBF16 + " autocast"}[bf16], p, err); err != nil {
				return err
			}
		}
	}
	if err := b.play(testCase{Group: "train", Name: name, Unit: "ms"}, players); err != nil {
		return err
	}
	b.report.add(memory)
	return nil
}
