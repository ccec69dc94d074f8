package main

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"lorikeet/tuning"
)

// tracedTrainer makes each attempt at a job a span of the trace of the request that
// submitted it: attempt → its phases → stretches of steps, evaluations, checkpoints.
func tracedTrainer(tracer trace.Tracer, next tuning.Trainer) tuning.Trainer {
	return func(ctx context.Context, task tuning.Task, r tuning.Reporter) (tuning.Outcome, error) {
		ctx = task.Trace.Continue(ctx)
		if task.Attempt == 1 && !task.CreatedAt.IsZero() {
			_, wait := tracer.Start(ctx, "queue", trace.WithTimestamp(task.CreatedAt))
			wait.End()
		}
		ctx, span := tracer.Start(ctx, "attempt", trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
			attribute.String("lorikeet.job", task.Job), attribute.Int("lorikeet.job.attempt", task.Attempt),
			attribute.String("lorikeet.job.type", string(task.Spec.Kind)), attribute.String("lorikeet.job.name", task.Spec.Name),
			attribute.String("gen_ai.request.model", task.Spec.Model), attribute.Bool("lorikeet.job.resumed", task.Resume != "")))
		defer span.End()
		t := &tracedReporter{Reporter: r, tracer: tracer, ctx: ctx, last: time.Now()}
		outcome, err := next(ctx, task, t)
		t.close()
		switch {
		case err == nil:
			span.SetAttributes(attribute.Int("lorikeet.job.steps", outcome.Steps))
		case errors.Is(err, tuning.ErrStopped):
			span.SetAttributes(attribute.Bool("lorikeet.job.stopped", true))
		default:
			span.SetStatus(codes.Error, err.Error())
		}
		return outcome, err
	}
}

// A stretch of steps is one span: a span of each would be thousands.
const (
	stretchSteps = 100
	stretchTime  = 30 * time.Second
)

// tracedReporter makes spans of what an attempt reports.
type tracedReporter struct {
	tuning.Reporter
	tracer trace.Tracer
	ctx    context.Context // of the attempt

	mu     sync.Mutex
	inside context.Context // of the phase; nil: none yet
	phase  trace.Span
	steps  *stretch  // nil: none open
	last   time.Time // of the last that was heard: what comes next began then
}

// stretch is a span of steps.
type stretch struct {
	span         trace.Span
	since        time.Time
	first, count int
	data         tuning.StepData // of the newest
}

// Phase implements [tuning.Reporter].
func (t *tracedReporter) Phase(phase string) {
	t.Reporter.Phase(phase)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leave()
	t.inside, t.phase = t.tracer.Start(t.ctx, phase)
	t.last = time.Now()
}

// Event implements [tuning.Reporter].
func (t *tracedReporter) Event(typ string, data any) {
	t.Reporter.Event(typ, data)
	raw, err := json.Marshal(data)
	if err != nil {
		return // the other reporter has told
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch typ {
	case "step":
		var d tuning.StepData
		if json.Unmarshal(raw, &d) == nil {
			t.step(d)
		}
	case "eval":
		var d tuning.EvalData
		t.stop()
		if json.Unmarshal(raw, &d) == nil {
			_, span := t.tracer.Start(t.within(), "evaluate", trace.WithTimestamp(t.last), trace.WithAttributes(
				attribute.Int("lorikeet.step", d.Step), attribute.Bool("lorikeet.best", d.Best)))
			for name, v := range d.Metrics {
				span.SetAttributes(attribute.Float64("lorikeet."+name, v))
			}
			span.End()
		}
	}
	t.last = time.Now()
}

// Checkpoint implements [tuning.Reporter].
func (t *tracedReporter) Checkpoint(ctx context.Context, step int, files map[string]string) error {
	t.mu.Lock()
	t.stop()
	_, span := t.tracer.Start(t.within(), "checkpoint", trace.WithAttributes(attribute.Int("lorikeet.step", step)))
	t.mu.Unlock()
	err := t.Reporter.Checkpoint(ctx, step, files)
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = time.Now()
	return err
}

func (t *tracedReporter) within() context.Context {
	if t.inside != nil {
		return t.inside
	}
	return t.ctx
}

// step adds a step to its stretch. mu is held, here and below.
func (t *tracedReporter) step(d tuning.StepData) {
	if t.steps == nil {
		_, span := t.tracer.Start(t.within(), "steps", trace.WithTimestamp(t.last))
		t.steps = &stretch{span: span, since: t.last, first: d.Step}
	}
	t.steps.data = d
	t.steps.count++
	if t.steps.count >= stretchSteps || time.Since(t.steps.since) >= stretchTime {
		t.stop()
	}
}

// stop ends the stretch of steps.
func (t *tracedReporter) stop() {
	s := t.steps
	if s == nil {
		return
	}
	t.steps = nil
	s.span.SetAttributes(attribute.Int("lorikeet.step.first", s.first), attribute.Int("lorikeet.step.last", s.data.Step),
		attribute.Int("lorikeet.step.total", s.data.TotalSteps), attribute.Float64("lorikeet.loss", s.data.Loss),
		attribute.Float64("lorikeet.learning_rate", s.data.LearningRate))
	s.span.End()
}

// leave ends the phase.
func (t *tracedReporter) leave() {
	t.stop()
	if t.phase != nil {
		t.phase.End()
	}
}

func (t *tracedReporter) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leave()
	t.phase = nil
}
