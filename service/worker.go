package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"lorikeet/inference"
	"lorikeet/inference/device"
	"lorikeet/tuning"
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
	below, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, below := errgroup.WithContext(below)
	g.Go(func() error { return p.queue.Run(below) })
	g.Go(func() error { return p.refresh(below) })
	g.Go(func() error {
		defer stop()
		return p.work(ctx, c)
	})
	return g.Wait()
}

// work takes jobs until ctx ends, and returns when none trains any more.
func (p *parts) work(ctx context.Context, c *config) error {
	d, err := openDevice(ctx, c, p.log)
	if err != nil {
		return err
	}
	w, err := queue.NewWorker(p.queue, queue.WorkerOptions{Trainer: trainer(p.shelf, d).Train, Class: c.class,
		Dir: filepath.Join(c.data, "work"), Slots: c.workers})
	if err != nil {
		return err
	}
	p.log.Info("worker", "class", c.class, "jobs", c.workers)
	return w.Run(ctx)
}

func trainer(s *shelf, d *device.Device) *train.Trainer {
	return &train.Trainer{Backend: d.Backend, Log: s.log, CheckpointEvery: 30 * time.Second,
		Base: func(ctx context.Context, name string) (*inference.Base, error) { return s.open(ctx, name) }}
}

// childCommand is one attempt at a job in a process of its own: if it runs out of
// memory, one attempt has failed, and the device is free when it is over.
func childCommand(c *config) *cobra.Command {
	return &cobra.Command{Use: "attempt", Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return fmt.Errorf("not yet %v", tuning.ErrStopped) }}
}
