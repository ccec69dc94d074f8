// Command bench measures how fast texts are written, beside PyTorch in the same run:
//
//	go run ./inference/bench --base DIR --python PATH
//
// DIR is a Hugging Face folder of a model that writes. Both sides write the same number
// of tokens for prompts of the same length, greedily, with as many threads, taking
// turns; medians and their ratio are printed. Without --python ours alone is measured.
package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"lorikeet/adapters"
	"lorikeet/adapters/store"
	"lorikeet/inference"
	"lorikeet/inference/device"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// work is one measurement: so many texts at once, of so many tokens.
type work struct {
	Batch, Source, New int
}

func run() error {
	base := flag.String("base", "", "folder of a model that writes (required)")
	python := flag.String("python", "", "a Python with torch and transformers; empty: no peer")
	batches := flag.String("batch", "1,8", "texts at once, comma separated")
	source := flag.Int("source", 32, "tokens of each prompt")
	length := flag.Int("new", 64, "tokens to write for each")
	rounds := flag.Int("rounds", 3, "measurements of each side")
	backend := flag.String("backend", "auto", "compute backend")
	flag.Parse()
	if *base == "" {
		return errors.New("--base is missing; see --help")
	}
	ctx := context.Background()
	ours, err := openOurs(ctx, *base, *backend)
	if err != nil {
		return err
	}
	defer ours.close()
	sides := []side{ours}
	if *python != "" {
		peer, err := openPeer(*python, *base)
		if err != nil {
			return err
		}
		defer peer.close()
		sides = append(sides, peer)
	}
	for _, b := range strings.Split(*batches, ",") {
		n, err := strconv.Atoi(b)
		if err != nil || n < 1 {
			return fmt.Errorf("--batch: %q is not a number of texts", b)
		}
		if err := measure(sides, work{n, *source, *length}, *rounds); err != nil {
			return err
		}
	}
	return nil
}

// warmUp is how many rounds do not count: graphs for the sizes that come are compiled in
// the background, beside the first texts.
const warmUp = 3

// measure lets the sides take turns.
func measure(sides []side, w work, rounds int) error {
	speeds := make([][]float64, len(sides))
	for round := range rounds + warmUp {
		for i, s := range sides {
			tokens, seconds, err := s.run(w)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name(), err)
			}
			if round >= warmUp {
				speeds[i] = append(speeds[i], float64(tokens)/seconds)
			}
		}
	}
	fmt.Printf("batch %2d", w.Batch)
	for i, s := range sides {
		slices.Sort(speeds[i])
		fmt.Printf("   %s %.0f tokens/s (%.0f to %.0f)", s.name(), median(speeds[i]), speeds[i][0], speeds[i][len(speeds[i])-1])
	}
	if len(sides) == 2 {
		fmt.Printf("   ratio %.2f", median(speeds[0])/median(speeds[1]))
	}
	fmt.Println()
	return nil
}

func median(sorted []float64) float64 { return sorted[len(sorted)/2] }

// side is one of those that are compared.
type side interface {
	name() string
	run(work) (tokens int, seconds float64, err error)
}

// ours is an engine in this process.
type ours struct {
	engine *inference.Engine
	base   *inference.Base
	stop   func()
}

func openOurs(ctx context.Context, dir, backend string) (*ours, error) {
	d, err := device.Open(ctx, backend, device.FromEnv(os.Getenv))
	if err != nil {
		return nil, err
	}
	fmt.Printf("ours: backend %s, %s, %d threads\n", d.Info(), runtime.Version(), runtime.GOMAXPROCS(0))
	scratch, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	s, err := store.OpenDir(scratch)
	if err != nil {
		return nil, err
	}
	registry, err := adapters.OpenRegistry(ctx, s)
	if err != nil {
		return nil, err
	}
	base, err := inference.OpenBase("bench", dir, os.DirFS(dir))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	e := inference.New(inference.Options{Backend: d.Backend, Registry: registry, Log: slog.New(slog.DiscardHandler), Slots: 8, MaxRank: 8,
		MaxBatchTokens: 4096, MaxWaiting: 1000, HostBytes: 1 << 30, Variants: 1})
	if err := e.Load(ctx, base); err != nil {
		cancel()
		return nil, err
	}
	e.Open()
	var group sync.WaitGroup
	group.Go(func() { _ = e.Run(ctx) })
	return &ours{e, base, func() { cancel(); group.Wait(); _ = os.RemoveAll(scratch) }}, nil
}

func (o *ours) name() string { return "lorikeet" }
func (o *ours) close()       { o.stop() }

func (o *ours) run(w work) (tokens int, seconds float64, err error) {
	prompt := o.prompt(w.Source)
	p := inference.DefaultParameters()
	p.MaxNewTokens = w.New
	var mu sync.Mutex
	var group sync.WaitGroup
	start := time.Now()
	for range w.Batch {
		group.Go(func() {
			g, failed := o.engine.Generate(context.Background(), inference.GenerateRequest{Model: "bench", Prompt: prompt, Truncate: true, Parameters: p}, nil)
			mu.Lock()
			defer mu.Unlock()
			tokens += g.OutputTokens
			err = errors.Join(err, failed)
		})
	}
	group.Wait()
	return tokens, time.Since(start).Seconds(), err
}

// prompt is a text of about n tokens.
func (o *ours) prompt(n int) string {
	s := "the"
	for len(o.base.Text.EncodePlain(s)) < n-1 {
		s += " time"
	}
	return s
}

// peer is a Python process that does what it reads from its input, a line at a time.
type peer struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

//go:embed peer.py
var script string

func openPeer(python, dir string) (*peer, error) {
	cmd := exec.Command(python, "-c", script, dir, strconv.Itoa(runtime.GOMAXPROCS(0))) //nolint:gosec // the user's own interpreter
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &peer{cmd, in, bufio.NewReader(out)}
	line, err := p.out.ReadString('\n')
	fmt.Printf("peer: %s", line)
	return p, err
}

func (p *peer) name() string { return "PyTorch" }

func (p *peer) close() {
	_ = p.in.Close()
	_ = p.cmd.Wait()
}

func (p *peer) run(w work) (tokens int, seconds float64, err error) {
	if err := json.NewEncoder(p.in).Encode(w); err != nil {
		return 0, 0, err
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return 0, 0, err
	}
	var said struct {
		Tokens  int
		Seconds float64
	}
	err = json.Unmarshal(line, &said)
	return said.Tokens, said.Seconds, err
}
