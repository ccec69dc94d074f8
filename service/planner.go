package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/inference"
	"lorikeet/tuning"
	"lorikeet/tuning/data"
	"lorikeet/tuning/datasets"
	"lorikeet/tuning/train"
)

// rowStore is where the rows of a job are.
type rowStore interface {
	Fetch(ctx context.Context, digest string, w io.Writer) (int64, error)
}

// planner checks jobs against the bases that this process has loaded.
type planner struct {
	engine  *inference.Engine
	store   rowStore
	maxRank int
}

// Check refuses what can never succeed.
func (p *planner) Check(ctx context.Context, s tuning.Spec, in datasets.Inputs) error {
	base, rows, held, err := p.read(ctx, s, in)
	if err != nil {
		return err
	}
	return train.Check(base, s, rows, held, p.limits(s))
}

// Plan says what a job would do and cost.
func (p *planner) Plan(ctx context.Context, s tuning.Spec, in datasets.Inputs) (train.Plan, error) {
	base, rows, held, err := p.read(ctx, s, in)
	if err != nil {
		return train.Plan{}, err
	}
	plan, err := train.NewPlan(base, s, rows, held, p.limits(s))
	plan.Warnings = append(append([]string{}, in.Warnings...), plan.Warnings...)
	return plan, err
}

func (p *planner) limits(s tuning.Spec) train.Limits {
	return train.Limits{MaxRank: p.maxRank, Speed: p.engine.Speed(s.Model)}
}

// read finds the base and the rows of a job.
func (p *planner) read(ctx context.Context, s tuning.Spec, in datasets.Inputs) (base *inference.Base, rows, held []data.Row, err error) {
	base, ok := p.engine.Base(s.Model)
	if !ok {
		return nil, nil, nil, invalid.Field("model", "%q is not a base: only bases can be tuned (see GET /models)", s.Model)
	}
	if _, taken := p.engine.Base(s.Name); taken {
		return nil, nil, nil, invalid.Field("name", "%q is the name of a base", s.Name)
	}
	kind := adapters.KindAdapter
	if s.Whole() {
		kind = adapters.KindVariant
	}
	if err := p.engine.Registry.Admits(ctx, s.Name, s.Model, kind); err != nil {
		return nil, nil, nil, err
	}
	if rows, err = p.rows(ctx, in.Train); err != nil {
		return nil, nil, nil, err
	}
	held, err = p.rows(ctx, in.Validation)
	return base, rows, held, err
}

func (p *planner) rows(ctx context.Context, digest string) ([]data.Row, error) {
	if digest == "" {
		return nil, nil
	}
	var b bytes.Buffer
	if _, err := p.store.Fetch(ctx, digest, &b); err != nil {
		return nil, fmt.Errorf("rows %s: %w", strings.TrimPrefix(digest, "sha256:"), err)
	}
	var rows []data.Row
	for r, err := range data.All(&b) {
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}
