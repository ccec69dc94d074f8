//go:build unix

// Command chaos runs many cheap jobs through the real queue while it harms everything
// around it, and says whether a job was lost, done twice or done wrong:
//
//	go run ./tuning/chaos --jobs 500 --duration 2m --seed 7
//
// Workers are processes of their own, Redis is a redis-server of its own, the store is a
// folder. A seed makes a plan, which job comes when and what is harmed when, so that a
// run can be played again; how the processes interleave is up to the machine. The jobs
// sleep and burn nothing; with --real they are trainings, whose every byte must be that of
// a training in peace:
//
//	go run ./tuning/chaos --real --jobs 40 --workers 2
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	if code, other := role(); other {
		os.Exit(code)
	}
	c := config{out: os.Stdout}
	flag.IntVar(&c.jobs, "jobs", 200, "number of jobs")
	flag.Uint64Var(&c.seed, "seed", 0, "of the plan; 0: one that is printed")
	flag.DurationVar(&c.duration, "duration", time.Minute, "how long jobs arrive and things are harmed; then all is healed and the rest is waited for")
	flag.IntVar(&c.workers, "workers", 4, "worker processes")
	flag.IntVar(&c.slots, "slots", 4, "jobs that one of them runs at once")
	flag.Float64Var(&c.pace, "faults", 1, "faults a second")
	flag.DurationVar(&c.lease, "lease", 2*time.Second, "lease of a job")
	flag.StringVar(&c.only, "only", "", "kinds of fault, separated by commas; empty: all ("+strings.Join(kinds(), ", ")+")")
	flag.StringVar(&c.dir, "dir", "", "folder for store, logs and scratch; empty: a temporary one, kept when something is wrong")
	flag.BoolVar(&c.real, "real", false, "real trainings of builtin:tiny-bert by real service workers, which are killed; --jobs, --workers, --seed and --dir count")
	flag.StringVar(&c.backend, "backend", "go", "compute backend of real trainings")
	flag.StringVar(&c.program, "service", "", "program of real workers; empty: the service is built")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if c.seed == 0 {
		c.seed = uint64(time.Now().UnixNano())
	}
	play := run
	if c.real {
		play = runReal
	}
	if _, err := play(ctx, c); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		if !errors.Is(err, errViolated) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}
