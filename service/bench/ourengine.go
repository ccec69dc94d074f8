package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gomlx/compute/dtypes"

	"lorikeet/adapters"
	"lorikeet/adapters/store"
	"lorikeet/inference"
	"lorikeet/inference/device"
)

// engine is our side where texts are scored or written: the engine as the service has
// it, without HTTP. Tokenizing, queue and batcher are in its times.
type engine struct {
	*inference.Engine
	device   *device.Device
	base     *inference.Base
	registry *adapters.Registry
	names    []string // registered adapters
	stop     func()
}

func openEngine(ctx context.Context, s settings) (*engine, error) {
	d, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	records, err := store.OpenDir(filepath.Join(s.Scratch, "store"))
	if err != nil {
		return nil, err
	}
	registry, err := adapters.OpenRegistry(ctx, records)
	if err != nil {
		return nil, err
	}
	base, err := inference.OpenBase("bench", s.Model, os.DirFS(s.Model))
	if err != nil {
		return nil, err
	}
	if s.BF16 {
		base.Matrices = dtypes.BFloat16
	}
	slots := s.Slots
	if slots == 0 {
		slots = 64 // the service's own
	}
	e := &engine{device: d, base: base, registry: registry}
	e.Engine = inference.New(inference.Options{Backend: d.Backend, Registry: registry, Log: slog.New(slog.DiscardHandler), Slots: slots, MaxRank: 64,
		MaxBatchTokens: 4096, MaxWaiting: 4096, HostBytes: 1 << 30, Variants: 1, Packs: d.Info().Kernels != ""})
	ctx, cancel := context.WithCancel(ctx)
	if err := e.Load(ctx, base); err != nil {
		cancel()
		return nil, err
	}
	e.Open()
	var group sync.WaitGroup
	group.Go(func() { _ = e.Run(ctx) })
	e.stop = func() { cancel(); group.Wait() }
	for i, folder := range s.Adapters {
		config, err1 := os.ReadFile(filepath.Join(folder, adapters.ConfigFile))
		weights, err2 := os.ReadFile(filepath.Join(folder, adapters.WeightsFile))
		if err := errors.Join(err1, err2, e.register(ctx, fmt.Sprintf("a%d", i), config, weights)); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func (e *engine) register(ctx context.Context, name string, config, weights []byte) error {
	_, err := e.Import(ctx, inference.Import{Name: name, Model: "bench", Source: "bench", Config: config, Weights: bytes.NewReader(weights), Size: int64(len(weights))})
	if err == nil {
		e.names = append(e.names, name)
	}
	return err
}

func (e *engine) versions() string { return e.device.Info().String() }
func (e *engine) close()           { e.stop() }

// order is what an engine is asked.
type order struct {
	Op       string   `json:"op"`
	Repeat   int      `json:"repeat"`
	Texts    []string `json:"texts,omitempty"`
	Adapters []string `json:"adapters,omitempty"` // one for each text
	Prompt   string   `json:"prompt,omitempty"`
	Batch    int      `json:"batch,omitempty"`
	New      int      `json:"new,omitempty"`
	Count    int      `json:"count,omitempty"`
	Rank     int      `json:"rank,omitempty"`
	Clients  int      `json:"clients,omitempty"`
	Zipf     bool     `json:"zipf,omitempty"`
	Span     float64  `json:"span,omitempty"` // seconds
	Seed     uint64   `json:"seed,omitempty"`
	FromDisk bool     `json:"from_disk,omitempty"`
}

// reply is what it answers.
type reply struct {
	Seconds  float64     `json:"seconds"`
	Logits   [][]float32 `json:"logits,omitempty"`
	Tokens   int         `json:"tokens,omitempty"`
	PeakMiB  float64     `json:"peak_mib,omitempty"`
	PerSec   float64     `json:"per_second,omitempty"`
	P50, P99 float64     // milliseconds
}

func (e *engine) answer(ctx context.Context, line []byte) (any, error) {
	var o order
	if err := json.Unmarshal(line, &o); err != nil {
		return nil, err
	}
	var r reply
	var err error
	switch o.Op {
	case "predict":
		r, err = e.predict(ctx, o)
	case "generate":
		r, err = e.generate(ctx, o)
	case "settle":
		err = e.Settle(ctx)
	case "register":
		r, err = e.more(ctx, o)
	case "load":
		r, err = e.load(ctx, o)
	case "traffic":
		r, err = e.traffic(ctx, o)
	default:
		err = fmt.Errorf("there is no operation %q", o.Op)
	}
	return r, err
}

func (e *engine) predict(ctx context.Context, o order) (r reply, err error) {
	request := inference.Request{Model: "bench", Adapters: o.Adapters, Inputs: make([]inference.Input, len(o.Texts)), Truncate: true}
	for i, t := range o.Texts {
		request.Inputs[i].Text = t
	}
	var a inference.Answer
	r.Seconds, err = timed(o.Repeat, func() error {
		a, err = e.Predict(ctx, request)
		return err
	})
	for _, row := range a.Rows {
		r.Logits = append(r.Logits, row.Logits)
	}
	return r, err
}

func (e *engine) generate(ctx context.Context, o order) (r reply, err error) {
	p := inference.DefaultParameters()
	p.MaxNewTokens = o.New
	r.Seconds, err = timed(o.Repeat, func() (err error) {
		var mu sync.Mutex
		var group sync.WaitGroup
		r.Tokens = 0
		for range o.Batch {
			group.Go(func() {
				g, failed := e.Generate(ctx, inference.GenerateRequest{Model: "bench", Prompt: o.Prompt, Truncate: true, Parameters: p}, nil)
				mu.Lock()
				defer mu.Unlock()
				r.Tokens += g.OutputTokens
				err = errors.Join(err, failed)
			})
		}
		group.Wait()
		return err
	})
	return r, err
}

// more registers adapters until there are count of them, and tells the seconds that one
// took: checked, prepared, written to the store and synced.
func (e *engine) more(ctx context.Context, o order) (r reply, err error) {
	n := 0
	var spent time.Duration
	for len(e.names) < o.Count {
		config, weights, err := adapterFiles(e.base, uint64(len(e.names)), o.Rank)
		if err != nil {
			return r, err
		}
		start := time.Now()
		if err := e.register(ctx, fmt.Sprintf("a%d", len(e.names)), config, weights); err != nil {
			return r, err
		}
		spent += time.Since(start)
		n++
	}
	r.Seconds = spent.Seconds() / float64(max(n, 1))
	return r, nil
}

// load puts the first count adapters on the device, one after the other, and tells the
// median of the seconds: from the store's files with FromDisk, else from
// memory, provided that there are more of them than slots.
func (e *engine) load(ctx context.Context, o order) (r reply, err error) {
	seconds := make([]float64, 0, o.Count)
	for _, name := range e.names[:o.Count] {
		v, err := e.registry.Resolve(ctx, name)
		if err == nil && o.FromDisk {
			err = e.Unload(ctx, v)
		}
		if err != nil {
			return r, err
		}
		start := time.Now()
		if err := e.Place(ctx, v, false); err != nil {
			return r, err
		}
		seconds = append(seconds, time.Since(start).Seconds())
	}
	r.Seconds = spreadOf(seconds).Median
	return r, nil
}

// traffic lets clients ask for one text each, again and again, of adapters drawn at random
// from the first count; of none with count 0.
func (e *engine) traffic(ctx context.Context, o order) (reply, error) {
	return traffic(o.Clients, time.Duration(o.Span*float64(time.Second)), func(client int) (func() error, error) {
		r := randomOf(o.Seed<<16 + uint64(client))
		name := func() string { return "" }
		if n := min(o.Count, len(e.names)); n > 0 {
			if o.Zipf {
				draw := zipf(r, n)
				name = func() string { return e.names[draw()] }
			} else {
				name = func() string { return e.names[r.IntN(n)] }
			}
		}
		return func() error {
			_, err := e.Predict(ctx, inference.Request{Model: "bench", Adapters: []string{name()}, Inputs: []inference.Input{{Text: o.Texts[r.IntN(len(o.Texts))]}}, Truncate: true})
			return err
		}, nil
	})
}
