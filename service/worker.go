package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"lorikeet/inference"
	"lorikeet/inference/device"
	"lorikeet/tuning"
	"lorikeet/tuning/child"
	"lorikeet/tuning/queue"
	"lorikeet/tuning/train"
)

// work runs a worker alone until ctx ends.
func work(ctx context.Context, c *config) (err error) {
	if c.redis == "" {
		return errors.New("a worker alone needs --redis and the --store that the API uses; without them run the service in one process")
	}
	p, err := open(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.shut()) }()
	// Opened once to install what is missing and to say what there is; the attempts
	// open it for themselves.
	d, err := openDevice(ctx, c, p.log)
	if err != nil {
		return err
	}
	backend := d.Info().Backend
	d.Close()
	below, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, below := errgroup.WithContext(below)
	g.Go(func() error { return p.queue.Run(below) })
	g.Go(func() error { return p.refresh(below) })
	g.Go(func() error { return p.observe(below, c) })
	g.Go(func() error {
		defer stop()
		return p.work(ctx, c, backend)
	})
	return g.Wait()
}

// work takes jobs until ctx ends, and returns when none trains any more.
func (p *parts) work(ctx context.Context, c *config, backend string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	attempts := child.Trainer(child.Options{Log: p.log, Command: func(tuning.Task) *exec.Cmd {
		args := []string{"attempt", "--backend", backend, "--data", c.data, "--log-format", c.logFormat, "--log-level", c.logLevel, "--compile-cache", c.compileCache, "--kernels", c.kernels,
			"--devices", strconv.Itoa(c.devices)}
		for _, b := range c.bases {
			args = append(args, "--base", b)
		}
		cmd := exec.Command(self, args...) //nolint:gosec // this program itself; nothing a caller sends is in args
		cmd.Env = device.Environ(os.Environ())
		return cmd
	}})
	if p.traces != nil {
		attempts = tracedTrainer(p.traces.Tracer(scopeName), attempts)
	}
	w, err := queue.NewWorker(p.queue, queue.WorkerOptions{Trainer: attempts, Prepare: p.bring, Class: c.class, Dir: filepath.Join(c.data, "work"), Slots: c.workers,
		Jobs: c.jobs, Idle: c.idle})
	if err != nil {
		return err
	}
	p.log.Info("worker", "class", c.class, "jobs", c.workers, "backend", backend)
	return w.Run(ctx)
}

// attemptCommand is the child's side of one attempt at a job.
func attemptCommand(c *config) *cobra.Command {
	return &cobra.Command{Use: "attempt", Hidden: true, Args: cobra.NoArgs,
		Short: "Make one attempt at a job; started by a worker, which speaks to it on standard input and output",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := context.WithoutCancel(cmd.Context()) // a signal asks for a checkpoint, see child.Serve
			code := child.Serve(ctx, os.Stdin, os.Stdout, func(ctx context.Context, task tuning.Task, r tuning.Reporter) (tuning.Outcome, error) {
				log := c.logger()
				s, err := newShelf(c, log)
				if err != nil {
					return tuning.Outcome{}, err
				}
				d, err := openDevice(ctx, c, log)
				if err != nil {
					return tuning.Outcome{}, err
				}
				defer d.Close()
				t := &train.Trainer{Backend: d.Backend, Log: log, CheckpointEvery: 30 * time.Second, Devices: c.devices,
					Base: func(ctx context.Context, name string) (*inference.Base, error) { return s.open(ctx, name) }}
				return t.Train(ctx, task, r)
			})
			return exitCode(code)
		}}
}
