package routes

import (
	"context"
	"errors"
	"io"
	"time"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
	"lorikeet/inference"
	"lorikeet/tuning"
	"lorikeet/tuning/data"
	"lorikeet/tuning/datasets"
	"lorikeet/tuning/queue"
)

// The parts below as a caller may use them. Handlers know nothing of tenants: what they
// hold asks the context who the caller is. Jobs and data sets of another tenant are not
// there. Adapters and variants are there for all to ask and to read, which is what one
// frozen base is shared for; only who owns a name may change what it means.

// owned are the parts as the caller may use them.
func (o Options) owned() Options {
	o.Planner = ownPlanner{o.Planner, o.Adapters}
	o.Engine, o.Adapters, o.Jobs, o.Datasets = ownEngine{o.Engine}, ownAdapters{o.Adapters}, ownJobs{o.Jobs}, ownRows{o.Datasets}
	return o
}

// ownJobs are the jobs of the caller's tenant.
type ownJobs struct{ jobs }

// check is the error for a job that is not there, also when it is another tenant's.
func (o ownJobs) check(ctx context.Context, id string) error {
	c := callerIn(ctx)
	if c.all {
		return nil
	}
	tenant, err := o.Tenant(ctx, id)
	if err == nil && !c.sees(tenant) {
		err = o.Missing(id)
	}
	return err
}

// Submit makes the job the caller's, whatever the spec says.
func (o ownJobs) Submit(ctx context.Context, s tuning.Spec, in queue.Inputs) (tuning.Job, bool, error) {
	s.Tenant = callerIn(ctx).tenant()
	return o.jobs.Submit(ctx, s, in)
}

func (o ownJobs) List(ctx context.Context, f queue.Filter) ([]tuning.Job, bool, error) {
	if c := callerIn(ctx); !c.all {
		tenant := c.tenant()
		f.Tenant = &tenant
	}
	return o.jobs.List(ctx, f)
}

func (o ownJobs) Get(ctx context.Context, id string) (tuning.Job, error) {
	return ifOwn(o, ctx, id, func() (tuning.Job, error) { return o.jobs.Get(ctx, id) })
}

func (o ownJobs) Wait(ctx context.Context, id string, most time.Duration) (tuning.Job, error) {
	return ifOwn(o, ctx, id, func() (tuning.Job, error) { return o.jobs.Wait(ctx, id, most) })
}

func (o ownJobs) Cancel(ctx context.Context, id string) (tuning.Job, error) {
	return ifOwn(o, ctx, id, func() (tuning.Job, error) { return o.jobs.Cancel(ctx, id) })
}

func (o ownJobs) Delete(ctx context.Context, id string) error {
	if err := o.check(ctx, id); err != nil {
		return err
	}
	return o.jobs.Delete(ctx, id)
}

func (o ownJobs) Pause(ctx context.Context, id string) (tuning.Job, error) {
	return ifOwn(o, ctx, id, func() (tuning.Job, error) { return o.jobs.Pause(ctx, id) })
}

func (o ownJobs) Resume(ctx context.Context, id string) (tuning.Job, error) {
	return ifOwn(o, ctx, id, func() (tuning.Job, error) { return o.jobs.Resume(ctx, id) })
}

func (o ownJobs) Events(ctx context.Context, id, after string, limit int) ([]tuning.Event, error) {
	return ifOwn(o, ctx, id, func() ([]tuning.Event, error) { return o.jobs.Events(ctx, id, after, limit) })
}

func (o ownJobs) Follow(ctx context.Context, id, after string) (<-chan tuning.Event, error) {
	return ifOwn(o, ctx, id, func() (<-chan tuning.Event, error) { return o.jobs.Follow(ctx, id, after) })
}

func (o ownJobs) Checkpoints(ctx context.Context, id string) ([]queue.Checkpoint, error) {
	return ifOwn(o, ctx, id, func() ([]queue.Checkpoint, error) { return o.jobs.Checkpoints(ctx, id) })
}

func ifOwn[T any](o ownJobs, ctx context.Context, id string, then func() (T, error)) (T, error) {
	if err := o.check(ctx, id); err != nil {
		var none T
		return none, err
	}
	return then()
}

// ownRows are the data sets of the caller's tenant.
type ownRows struct{ rows }

func (o ownRows) Create(ctx context.Context, r io.Reader, how data.Options) (datasets.Dataset, bool, error) {
	return o.CreateFor(ctx, callerIn(ctx).tenant(), r, how)
}

func (o ownRows) Get(ctx context.Context, id string) (datasets.Dataset, error) {
	d, err := o.rows.Get(ctx, id)
	if err == nil && !callerIn(ctx).sees(d.Tenant) {
		return datasets.Dataset{}, datasets.Missing(id)
	}
	return d, err
}

func (o ownRows) List(ctx context.Context) ([]datasets.Dataset, error) {
	all, err := o.rows.List(ctx)
	c := callerIn(ctx)
	var own []datasets.Dataset
	for _, d := range all {
		if c.sees(d.Tenant) {
			own = append(own, d)
		}
	}
	return own, err
}

func (o ownRows) Preview(ctx context.Context, id string, most int) ([]datasets.Row, error) {
	if _, err := o.Get(ctx, id); err != nil {
		return nil, err
	}
	return o.rows.Preview(ctx, id, most)
}

func (o ownRows) Delete(ctx context.Context, id string) error {
	if _, err := o.Get(ctx, id); err != nil {
		return err
	}
	return o.rows.Delete(ctx, id)
}

// seen is the error for data sets that are not the caller's; "" is none.
func (o ownRows) seen(ctx context.Context, ids ...string) error {
	for _, id := range ids {
		if id == "" {
			continue
		}
		if _, err := o.Get(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

func (o ownRows) Doctor(ctx context.Context, id, validation string) (datasets.Examination, error) {
	if err := o.seen(ctx, id, validation); err != nil {
		return datasets.Examination{}, err
	}
	return o.rows.Doctor(ctx, id, validation)
}

func (o ownRows) Clean(ctx context.Context, id string, how datasets.Cleaning) (datasets.Dataset, bool, error) {
	if err := o.seen(ctx, id, how.Validation); err != nil {
		return datasets.Dataset{}, false, err
	}
	return o.rows.Clean(ctx, id, how)
}

func (o ownRows) OpenQuarantine(ctx context.Context, id string) (store.Blob, datasets.Quarantine, error) {
	if err := o.seen(ctx, id); err != nil {
		return nil, datasets.Quarantine{}, err
	}
	return o.rows.OpenQuarantine(ctx, id)
}

// Inputs refuses a spec that names another tenant's data set as it does one that names
// none.
func (o ownRows) Inputs(ctx context.Context, s tuning.Spec) (datasets.Inputs, error) {
	var errs []error
	for field, src := range map[string]*tuning.Source{"dataset": s.Dataset, "validation": s.Validation} {
		if src == nil || src.ID == "" {
			continue
		}
		if _, err := o.Get(ctx, src.ID); errors.Is(err, datasets.ErrNotFound) {
			errs = append(errs, err, invalid.Field(field+".id", "%v", err))
		} else if err != nil {
			return datasets.Inputs{}, err
		}
	}
	if err := errors.Join(errs...); err != nil {
		return datasets.Inputs{}, err
	}
	return o.rows.Inputs(ctx, s)
}

// ownPlanner refuses a job whose result could not be registered.
type ownPlanner struct {
	planner
	registry registry
}

func (o ownPlanner) Check(ctx context.Context, s tuning.Spec, in datasets.Inputs) error {
	return errors.Join(o.registry.Owns(ctx, callerIn(ctx).tenant(), s.Name), o.planner.Check(ctx, s, in))
}

// ownAdapters lets only the owner of a name, or an administrator, change it.
type ownAdapters struct{ registry }

func (o ownAdapters) check(ctx context.Context, name string) error {
	if c := callerIn(ctx); !c.all {
		return o.Owns(ctx, c.tenant(), name)
	}
	return nil
}

func (o ownAdapters) Rollback(ctx context.Context, name string, version int) (adapters.Version, error) {
	if err := o.check(ctx, name); err != nil {
		return adapters.Version{}, err
	}
	return o.registry.Rollback(ctx, name, version)
}

func (o ownAdapters) Split(ctx context.Context, name string, t adapters.Traffic) error {
	if err := o.check(ctx, name); err != nil {
		return err
	}
	return o.registry.Split(ctx, name, t)
}

func (o ownAdapters) Delete(ctx context.Context, name string, version int) error {
	if err := o.check(ctx, name); err != nil {
		return err
	}
	return o.registry.Delete(ctx, name, version)
}

func (o ownEngine) Merge(ctx context.Context, m inference.Merge) (adapters.Version, error) {
	m.Tenant = callerIn(ctx).tenant()
	return o.engine.Merge(ctx, m)
}

// ownEngine registers what is brought along, or made, under the caller's tenant.
type ownEngine struct{ engine }

func (o ownEngine) Import(ctx context.Context, in inference.Import) (adapters.Version, error) {
	in.Tenant = callerIn(ctx).tenant()
	return o.engine.Import(ctx, in)
}
