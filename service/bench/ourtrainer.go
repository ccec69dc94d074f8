package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"lorikeet/inference"
	"lorikeet/inference/device"
	"lorikeet/tuning"
	"lorikeet/tuning/data"
	"lorikeet/tuning/train"
)

// trainer is our side of a training: the service's own loop, which is held after each
// step until the next is asked for.
type trainer struct {
	device *device.Device
	next   chan struct{} // a step may go on
	done   chan tuning.StepData
	ended  chan error
	stop   context.CancelFunc
	begun  bool
}

func openTrainer(ctx context.Context, s settings) (*trainer, error) {
	d, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	rows := filepath.Join(s.Scratch, "rows.jsonl")
	if err := writeExamples(rows, s.Texts); err != nil {
		return nil, err
	}
	t := &trainer{device: d, next: make(chan struct{}), done: make(chan tuning.StepData), ended: make(chan error, 1)}
	of := func(n int) *int { return &n }
	rate := 1e-5
	spec := tuning.Spec{Kind: tuning.Full, Model: "bench", Name: "bench", Hyperparameters: &tuning.Hyperparameters{
		MaxSteps: of(1 << 20), BatchSize: of(len(s.Texts)), LearningRate: &rate}}
	if s.LoRA {
		spec.Kind = tuning.LoRA
		// PEFT too trains the head beside the factors.
		spec.LoRA = &tuning.LoRAOptions{R: of(8), TargetModules: json.RawMessage(`["query","value"]`), ModulesToSave: []string{"classifier"}}
	}
	loop := &train.Trainer{Backend: d.Backend, Log: slog.New(slog.DiscardHandler), CheckpointEvery: 24 * time.Hour,
		Base: func(context.Context, string) (*inference.Base, error) {
			return inference.OpenBase("bench", s.Model, os.DirFS(s.Model))
		}}
	ctx, t.stop = context.WithCancel(ctx)
	go func() {
		_, err := loop.Train(ctx, tuning.Task{Job: "bench", Attempt: 1, Spec: spec, Train: rows, Dir: s.Scratch}, gate{ctx, t})
		t.ended <- err
	}()
	return t, nil
}

// writeExamples writes rows of two classes.
func writeExamples(file string, texts []string) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := data.NewWriter(f)
	for i, t := range texts {
		if err := w.Write(data.Row{Kind: data.Classification, Text: t, Label: []string{"negative", "positive"}[i%2]}); err != nil {
			return err
		}
	}
	return w.Flush()
}

func (t *trainer) versions() string { return t.device.Info().String() }

func (t *trainer) close() {
	t.stop()
	<-t.ended //nolint:errcheck // it was told to stop
}

// answer makes steps.
func (t *trainer) answer(_ context.Context, line []byte) (any, error) {
	var o order
	if err := json.Unmarshal(line, &o); err != nil {
		return nil, err
	}
	var r reply
	var err error
	r.Seconds, err = timed(o.Repeat, func() error {
		if t.begun { // the first begins by itself
			t.next <- struct{}{}
		}
		t.begun = true
		select {
		case <-t.done:
			return nil
		case err := <-t.ended:
			t.ended <- err
			return err
		}
	})
	r.PeakMiB = statusMiB(os.Getpid(), "VmHWM")
	return r, err
}

// gate is the reporter of the training: it lets a step pass when one is asked for.
type gate struct {
	ctx context.Context
	*trainer
}

func (g gate) Event(kind string, data any) {
	step, ok := data.(tuning.StepData)
	if !ok {
		return
	}
	select {
	case g.done <- step:
	case <-g.ctx.Done():
		return
	}
	select {
	case <-g.next:
	case <-g.ctx.Done():
	}
}

func (gate) Phase(string)                                             {}
func (gate) Checkpoint(context.Context, int, map[string]string) error { return nil }
func (gate) Stop() <-chan struct{}                                    { return nil }
