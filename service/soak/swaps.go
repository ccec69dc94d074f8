//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"lorikeet/inference"
	"lorikeet/tuning/queue/queuetest"
)

// swapsOptions are the flags of swaps.
type swapsOptions struct {
	requests, clients, replicas int
	pool, names, slots          int
	redis                       string
}

// maxRank is the highest rank of an adapter.
const maxRank = 16

// stopWithin is how long a service may take to end.
const stopWithin = 40 * time.Second

func swapsCommand(c *common) *cobra.Command {
	var o swapsOptions
	cmd := &cobra.Command{Use: "swaps", Short: "Ask replicas while adapters are registered, rolled back, deleted, evicted and damaged", Args: cobra.NoArgs,
		Long: `Starts replicas of the API on one redis-server and one store folder, with few slots, so that adapters are evicted all
the time. Clients ask for scores: with one adapter, one version, the bare base, or another adapter for each text. Meanwhile
versions are registered, rolled back, deleted, loaded, unloaded and pinned through either replica, and adapters that are bad are
brought in.

Each answer is checked: its scores against those that a service which does nothing else gave for the digest that the answer names,
and the version against what the name meant while the request was under way. That a name which had been deleted is not found is
right, and counted. Every replica must agree within a second of each change.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return playSwaps(cmd.Context(), c, o) }}
	f := cmd.Flags()
	f.IntVar(&o.requests, "requests", 10000, "requests to send")
	f.IntVar(&o.clients, "clients", 8, "clients that send them")
	f.IntVar(&o.replicas, "replicas", 2, "API processes")
	f.IntVar(&o.pool, "pool", 48, "different adapters")
	f.IntVar(&o.names, "names", 12, "names that they are registered under")
	f.IntVar(&o.slots, "slots", 12, "slots of each replica; an adapter takes one or two")
	f.StringVar(&o.redis, "redis-server", "redis-server", "the program")
	return cmd
}

// swaps is the result.
type swaps struct {
	Seed       uint64         `json:"seed"`
	Requests   int            `json:"requests"`
	Seconds    float64        `json:"seconds"`
	Kinds      map[string]int `json:"kinds"`
	Right      int            `json:"right"`     // requests answered with scores, as they should be
	Rows       int            `json:"rows"`      // texts in them
	Gone       int            `json:"not_found"` // requests for what had been deleted
	Wrong      int            `json:"wrong"`
	Failed     int            `json:"failed"`
	Latency    latency        `json:"latency"`
	Changes    map[string]int `json:"changes"`
	Agreement  latency        `json:"agreement"` // from the answer to a change until another replica shows it
	Late       int            `json:"late"`      // more than a second
	Replicas   []usage        `json:"replicas"`
	Violations []string       `json:"violations"`
}

func (r *swaps) broken() []string {
	if len(r.Violations) == 0 && r.Wrong+r.Failed+r.Late > 0 {
		return []string{fmt.Sprintf("%d wrong, %d failed, %d late", r.Wrong, r.Failed, r.Late)}
	}
	return r.Violations
}

func (r *swaps) print(w io.Writer) {
	fmt.Fprintf(w, "%d requests in %.1f s: %d right (%d texts), %d asked for what had been deleted, %d wrong, %d failed\n",
		r.Requests, r.Seconds, r.Right, r.Rows, r.Gone, r.Wrong, r.Failed)
	printCounts(w, "  requests", r.Kinds)
	fmt.Fprintf(w, "  latency: %v\n", r.Latency)
	printCounts(w, "changes", r.Changes)
	fmt.Fprintf(w, "replicas agree after: %v; later than %v: %d\n", r.Agreement, lag, r.Late)
	for i, u := range r.Replicas {
		fmt.Fprintf(w, "replica %d: %.0f adapters brought to the device, %.0f evicted; %.0f MiB resident, %.0f goroutines\n",
			i, u.Loads, u.Evictions, u.Resident/(1<<20), u.Goroutines)
	}
}

func printCounts(w io.Writer, what string, counts map[string]int) {
	fmt.Fprintf(w, "%s:", what)
	for i, k := range slices.Sorted(maps.Keys(counts)) {
		if i > 0 {
			fmt.Fprint(w, ",")
		}
		fmt.Fprintf(w, " %s %d", k, counts[k])
	}
	fmt.Fprintln(w)
}

// playSwaps runs the whole of it.
func playSwaps(ctx context.Context, c *common, o swapsOptions) error {
	redis, err := exec.LookPath(o.redis)
	if err != nil {
		return fmt.Errorf("--redis-server: %w", err)
	}
	if o.requests < 1 || o.clients < 1 || o.replicas < 1 || o.names < churners || o.pool < 2 {
		return fmt.Errorf("--requests, --clients, --replicas, --pool and --names must be at least 1, 1, 1, 2 and %d", churners)
	}
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	c.say("seed %d; logs are in %s", c.seed, s.dir)
	st, err := s.storm(ctx, o, redis)
	if err != nil {
		return errors.Join(err, fmt.Errorf("logs are in %s", s.dir))
	}
	return c.conclude(s, st.report)
}

// churners are how many change names at a time.
const churners = 2

// storm starts everything, lets the clients ask, and judges what they were told.
func (s *site) storm(ctx context.Context, o swapsOptions, redisServer string) (*storm, error) {
	draw := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(s.c.seed, n)) }
	folder := filepath.Join(s.dir, "base")
	if err := headed(folder, draw(1)); err != nil {
		return nil, err
	}
	base, err := inference.OpenBase(baseName, folder, os.DirFS(folder))
	if err != nil {
		return nil, err
	}
	defer base.Close()
	common := []string{"serve", "--base", baseName + "=" + folder, "--max-rank", fmt.Sprint(maxRank), "--slots", fmt.Sprint(o.slots), "--max-batch-tokens", "512", "--log-level", "warn"}
	oracle, err := newOracle(ctx, s, draw(2), base, o.pool, common)
	if err != nil {
		return nil, err
	}
	redis, err := queuetest.NewRedis(s.dir)
	if err != nil {
		return nil, err
	}
	redis.Program = redisServer
	if err := redis.Start(); err != nil {
		return nil, err
	}
	defer redis.Kill()
	st := &storm{c: s.c, client: newClient(o.clients + 4), oracle: oracle, report: &swaps{Seed: s.c.seed, Requests: o.requests,
		Kinds: map[string]int{}, Changes: map[string]int{}, Violations: []string{}}}
	store := filepath.Join(s.dir, "store")
	for i := range o.replicas {
		p, err := s.start(fmt.Sprintf("replica-%d", i), append(common, "--redis", "redis://"+redis.Addr()+"/0", "--store", store)...)
		if err != nil {
			return nil, err
		}
		st.replicas = append(st.replicas, p)
	}
	if err := s.ready(ctx, st.replicas...); err != nil {
		return nil, err
	}
	names := make([]string, o.names)
	for i := range names {
		names[i] = fmt.Sprintf("name-%02d", i)
	}
	st.world = newWorld(names)
	all := make([]*churner, churners)
	for i := range all {
		all[i] = &churner{storm: st, r: draw(uint64(10 + i))}
		for j := i; j < len(names); j += churners {
			all[i].names = append(all[i].names, names[j])
			for range 2 {
				all[i].register(ctx, names[j], j%o.replicas)
			}
		}
	}
	spoils := &spoiler{storm: st, r: draw(3), base: base, store: store}
	st.rage(ctx, o, all, spoils, draw)
	st.verdict()
	st.calm(ctx, all)
	st.report.Latency, st.report.Agreement = summary(st.took), summary(st.agree)
	for _, p := range st.replicas {
		u, err := p.usage(ctx)
		if err != nil {
			return nil, err
		}
		st.report.Replicas = append(st.report.Replicas, u)
	}
	for _, p := range st.replicas {
		if _, err := p.stop(stopWithin); err != nil {
			st.failed(ctx, "%v", err)
		}
	}
	return st, ctx.Err()
}
