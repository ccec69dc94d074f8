package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.opentelemetry.io/otel/trace"

	"lorikeet/adapters"
	"lorikeet/routes/access"
	"lorikeet/tuning"
	"lorikeet/tuning/queue"
)

// register makes what a job trained available. The queue calls it, perhaps twice; the
// registry makes one version of a job.
func (p *parts) register(ctx context.Context, f queue.Finished) (tuning.Result, error) {
	if p.traces != nil {
		var span trace.Span
		ctx, span = p.traces.Tracer(scopeName).Start(f.Trace.Continue(ctx), "register")
		defer span.End()
	}
	v := adapters.Version{Ref: adapters.Ref{Name: f.Job.Name}, Kind: adapters.KindAdapter, Base: f.Job.Model,
		Files: map[string]adapters.File{}, Labels: f.Labels, Template: f.Template, Metrics: f.Metrics, Job: f.Job.ID, Source: "job:" + f.Job.ID,
		Gate: f.Gate, Tenant: f.Job.Spec.Tenant, CreatedAt: time.Now()}
	for name, file := range f.Files {
		v.Files[name] = adapters.File{Digest: file.Digest, Size: file.Size}
	}
	base, err := p.shelf.open(ctx, f.Job.Model)
	if err != nil {
		return tuning.Result{}, err
	}
	defer func() { _ = base.Close() }() // read only
	v.BaseDigest = base.Digest
	v.Origin = base.Origin("", software())
	v.Origin.Training = training(f)
	if f.Job.Spec.Whole() {
		v.Kind = adapters.KindVariant
	} else {
		a, err := p.registry.Open(ctx, v, base.Layout)
		if err != nil {
			return tuning.Result{}, err
		}
		made, err := base.Prepare(v.Ref, a)
		if err != nil {
			return tuning.Result{}, err
		}
		v.Origin.Problem = string(made.Problem)
		v.Rank, v.Targets = a.Rank(), a.Targets()
	}
	v, err = p.registry.Register(ctx, v)
	if err != nil {
		return tuning.Result{}, err
	}
	p.log.Info("audit", "key", "", "tenant", cmp.Or(v.Tenant, access.DefaultTenant), "action", "register", "object", v.String(), "result", "ok", "kind", v.Kind, "job", f.Job.ID)
	r := tuning.Result{Adapter: v.String(), Digest: v.Digest, Kind: v.Kind}
	if v.Gate != nil {
		r.Promoted, r.Reason = &v.Gate.Promoted, v.Gate.Reason
	}
	return r, nil
}

// training is how the job taught, for the version's passport.
func training(f queue.Finished) *adapters.Training {
	s := f.Job.Spec
	t := &adapters.Training{Kind: string(s.Kind), Method: s.Method, Hyperparameters: raw(s.Hyperparameters), Steps: f.Steps,
		Dataset: adapters.Rows{Digest: f.Inputs.Train, Source: raw(s.Dataset)}}
	if s.LoRA != nil {
		t.LoRA = raw(s.LoRA)
	}
	if f.Inputs.Validation != "" {
		t.Validation = &adapters.Rows{Digest: f.Inputs.Validation, Source: raw(s.Validation)}
	}
	return t
}

func raw(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		return nil // a spec came as JSON: it is JSON again
	}
	return b
}

// software is what a passport says made a version.
func software() string { return "lorikeet " + version() }

// bring fetches the version that a job with a gate is compared with.
func (p *parts) bring(ctx context.Context, t *tuning.Task) error {
	if t.Spec.Promote == nil {
		return nil
	}
	if err := p.registry.Refresh(ctx); err != nil {
		return err
	}
	v, err := p.registry.Resolve(ctx, t.Spec.Name)
	if errors.Is(err, adapters.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	c := &tuning.Current{Dir: filepath.Join(t.Dir, "current"), Version: v.Version, Template: v.Template}
	if err := os.Mkdir(c.Dir, 0o700); err != nil {
		return err
	}
	for name, f := range v.Files {
		if err := p.fetch(ctx, f.Digest, filepath.Join(c.Dir, filepath.Base(name))); err != nil {
			return fmt.Errorf("%s: %s: %w", v, name, err)
		}
	}
	t.Current = c
	return nil
}

func (p *parts) fetch(ctx context.Context, digest, path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // the attempt's own folder
	if err != nil {
		return err
	}
	_, err = p.store.Fetch(ctx, digest, f)
	return errors.Join(err, f.Close())
}
