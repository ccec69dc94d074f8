package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"lorikeet/adapters/store"
	"lorikeet/tuning"
)

// reporter is an attempt's [tuning.Reporter]. The trainer never waits for Redis: a
// sender forwards events, and until they are in the store too the reporter keeps
// them, so that a Redis that loses them loses nothing.
type reporter struct {
	a *attempt

	mu      sync.Mutex
	cursor  eventID  // of the newest event of this attempt, told or not
	top     eventID  // of the newest event that anyone told
	unsaved []logged // not in the store
	unsent  []logged // not in Redis
	live    live
	changed bool // live, since it was sent
	pace    pace
	best    int // the last step whose evaluation was the best; -1 none
	closed  bool

	sender
}

var _ tuning.Reporter = (*reporter)(nil)

func newReporter(a *attempt) *reporter {
	r := &reporter{a: a, best: -1, live: live{Attempt: a.n}, cursor: eventID{0, subResumed - 1}}
	r.sender.init()
	return r
}

// begin reads what was told before, so that no event is told twice, and tells that
// the attempt has begun.
func (r *reporter) begin(ctx context.Context) error {
	saved, err := r.a.q.saved(ctx, r.a.s)
	if err != nil {
		return err
	}
	fresh, _, err := r.a.q.fresh(ctx, r.a.s.id, eventID{}, 0)
	if err != nil {
		r.a.log.Warn("events since the last checkpoint cannot be read and may be told twice", "error", err)
	}
	told := merge(r.a.s.told(), saved)
	inStore := map[eventID]bool{}
	for _, e := range told {
		inStore[e.id] = true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range fresh {
		if !inStore[e.id] {
			r.unsaved = append(r.unsaved, e)
		}
	}
	all := merge(told, fresh)
	r.top = all[len(all)-1].id
	r.unsent = unheard(all, fresh)
	r.add("status", r.top.next(), statusData{Status: tuning.Running, Attempt: r.a.n})
	r.start(r)
	return nil
}

// startFrom says which step the trainer goes on from.
func (r *reporter) startFrom(step int, resumed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at(step, subResumed)
	if resumed {
		r.add("status", r.top.next(), statusData{Status: tuning.Running, Attempt: r.a.n, Step: &step})
	}
}

// Phase implements [tuning.Reporter].
func (r *reporter) Phase(phase string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live.Phase == phase || r.closed {
		return
	}
	r.live.Phase, r.changed = phase, true
	r.tell("status", statusData{Status: tuning.Running, Attempt: r.a.n, Phase: phase})
	r.wake()
}

// Event implements [tuning.Reporter].
func (r *reporter) Event(typ string, data any) {
	raw, err := json.Marshal(data)
	if err != nil {
		r.a.log.Error("event cannot be told", "type", typ, "error", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	switch typ {
	case "step":
		var d tuning.StepData
		if json.Unmarshal(raw, &d) == nil {
			r.live.Progress = r.pace.progress(d)
			r.a.q.meters.step(r.a.s, d)
			r.at(d.Step, subStep)
		}
	case "eval":
		var d tuning.EvalData
		if json.Unmarshal(raw, &d) == nil {
			m := maps.Clone(r.live.Metrics)
			if m == nil {
				m = map[string]float64{}
			}
			maps.Copy(m, d.Metrics)
			r.live.Metrics = m
			if d.Best {
				r.best = d.Step
			}
			r.at(d.Step, subEval)
		}
	}
	r.changed = true
	r.tell(typ, json.RawMessage(raw))
	r.wake()
}

// at moves the cursor before the place of the next event, unless it is beyond.
func (r *reporter) at(step int, sub int64) {
	if place := (eventID{int64(step), sub - 1}); r.cursor.less(place) {
		r.cursor = place
	}
}

// tell takes the next place in this attempt's order for an event, and adds it unless
// an earlier attempt told the event of that place.
func (r *reporter) tell(typ string, data any) {
	r.cursor = r.cursor.next()
	if r.top.less(r.cursor) {
		r.add(typ, r.cursor, data)
	}
}

func (r *reporter) add(typ string, id eventID, data any) {
	e, err := newEvent(id, typ, time.Now(), data)
	if err != nil {
		r.a.log.Error("event cannot be told", "type", typ, "error", err)
		return
	}
	r.top = id
	r.unsaved = append(r.unsaved, e)
	r.unsent = append(r.unsent, e)
}

// Checkpoint implements [tuning.Reporter].
func (r *reporter) Checkpoint(ctx context.Context, step int, files map[string]string) error {
	q, a := r.a.q, r.a
	stored, err := q.upload(ctx, files)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if err := a.fence(ctx); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	r.mu.Lock()
	m := manifest{
		Step: step, Attempt: a.n, Files: stored, Best: r.best == step,
		Progress: r.live.Progress, Metrics: r.live.Metrics, At: time.Now().UTC(),
	}
	r.at(step, subCheckpoint)
	r.tell("checkpoint", checkpointData{Step: step, Attempt: a.n, Bytes: m.bytes(), Best: m.Best})
	r.mu.Unlock()
	r.wake()
	// Who resumes here does not run the steps before again, so their events must be
	// safe first.
	if err := r.save(ctx); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	err = q.create(ctx, checkpointKey(a.s.id, taken{step, a.n}), m)
	if err != nil && !errors.Is(err, store.ErrExists) {
		return fmt.Errorf("checkpoint: %w", err)
	}
	s, err := q.load(ctx, a.s.id)
	if err == nil {
		err = q.prune(ctx, s)
	}
	if err != nil {
		a.log.Warn("old checkpoints stay", "error", err)
	}
	return nil
}

// Stop implements [tuning.Reporter].
func (r *reporter) Stop() <-chan struct{} { return r.a.stop }

// status tells of a change of the job's status after the trainer returned.
func (r *reporter) status(data statusData) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.add("status", r.top.next(), data)
	}
}

// finished takes in what only the outcome says.
func (r *reporter) finished(o tuning.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live.Metrics = o.Metrics
	if p := r.live.Progress; p != nil {
		done := *p
		done.Percent, done.ETASeconds = 100, 0
		r.live.Progress = &done
	}
}

func (r *reporter) now() live {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.live
}

func (r *reporter) progress() *tuning.Progress { return r.now().Progress }

// pace tells how fast an attempt goes.
type pace struct {
	began time.Time
	first int
}

func (p *pace) progress(d tuning.StepData) *tuning.Progress {
	now := time.Now()
	if p.began.IsZero() {
		// The first step also pays for compilation, so it does not count.
		p.began, p.first = now, d.Step
	}
	g := tuning.Progress{Step: d.Step, TotalSteps: d.TotalSteps, Epoch: d.Epoch, Loss: d.Loss}
	if d.TotalSteps > 0 {
		g.Percent = 100 * float64(d.Step) / float64(d.TotalSteps)
	}
	if done := d.Step - p.first; done > 0 {
		g.ETASeconds = now.Sub(p.began).Seconds() / float64(done) * float64(max(d.TotalSteps-d.Step, 0))
	}
	return &g
}
