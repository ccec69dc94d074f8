package queue

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"lorikeet/tuning"
)

// meters are what this process counts of the jobs it decides and works on. How many
// jobs wait is not among them: that is one number for all processes, see [Queue.Stats].
type meters struct {
	duration *prometheus.HistogramVec
	attempts *prometheus.CounterVec
	attempt  *prometheus.HistogramVec
	steps    *prometheus.CounterVec
	loss     *prometheus.GaugeVec
	redis    hook
}

// durations run from a smoke test to a night.
var durations = []float64{1, 5, 15, 60, 300, 900, 1800, 3600, 2 * 3600, 4 * 3600, 8 * 3600, 24 * 3600}

// How an attempt ended, as its metrics call it.
const (
	attemptSucceeded = "succeeded" // and decided the job
	attemptFailed    = "failed"    // and decided the job: its input can never succeed
	attemptRetried   = "retried"   // with an error that another attempt may not meet
	attemptStopped   = "stopped"   // handed back: the job was paused, or the worker goes away
	attemptDiscarded = "discarded" // the job was decided, or taken over, by another
)

func newMeters() *meters {
	m := &meters{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "lorikeet_job_duration_seconds", Help: "From the submission of a job to its end, waiting included; counted by the process that decided it.",
			Buckets: durations}, []string{"type", "outcome"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lorikeet_job_attempts_total", Help: "Attempts at jobs that this worker made, by how they ended: succeeded, failed, retried, stopped or discarded."},
			[]string{"type", "outcome"}),
		attempt: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "lorikeet_job_attempt_duration_seconds", Help: "Time that an attempt at a job took this worker.", Buckets: durations}, []string{"type"}),
		steps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lorikeet_train_steps_total", Help: "Steps of the optimizer that attempts of this worker made."}, []string{"type"}),
		loss: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "lorikeet_train_loss", Help: "Loss of the newest step of a job that this worker runs; gone when the attempt is over."}, []string{"job"}),
		redis: newHook(),
	}
	for _, kind := range tuning.Kinds {
		m.steps.WithLabelValues(string(kind))
		for _, outcome := range []string{attemptSucceeded, attemptFailed, attemptRetried, attemptStopped, attemptDiscarded} {
			m.attempts.WithLabelValues(string(kind), outcome)
		}
		for _, s := range []tuning.Status{tuning.Succeeded, tuning.Failed, tuning.Cancelled} {
			m.duration.WithLabelValues(string(kind), string(s))
		}
	}
	return m
}

// Collectors give the metrics of what this process does with jobs.
func (q *Queue) Collectors() []prometheus.Collector {
	m := q.meters
	return []prometheus.Collector{m.duration, m.attempts, m.attempt, m.steps, m.loss, m.redis.took}
}

// decided counts a job that this process has just decided.
func (m *meters) decided(s *state) {
	m.duration.WithLabelValues(string(s.spec.Spec.Kind), string(s.final.Status)).Observe(max(0, s.final.At.Sub(s.spec.CreatedAt).Seconds()))
}

// over counts an attempt that has ended.
func (m *meters) over(a *attempt, outcome string, since time.Time) {
	kind := string(a.s.spec.Spec.Kind)
	m.attempts.WithLabelValues(kind, outcome).Inc()
	m.attempt.WithLabelValues(kind).Observe(time.Since(since).Seconds())
	m.loss.DeleteLabelValues(a.s.id)
}

// step takes in a step of an attempt.
func (m *meters) step(s *state, d tuning.StepData) {
	m.steps.WithLabelValues(string(s.spec.Spec.Kind)).Inc()
	m.loss.WithLabelValues(s.id).Set(d.Loss)
}

// hook times the commands that are sent to Redis, a pipeline as one. What waits for
// news is none of them.
type hook struct{ took *prometheus.HistogramVec }

var _ redis.Hook = hook{}

func newHook() hook {
	return hook{prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "lorikeet_redis_command_duration_seconds", Help: "Commands sent to Redis, a pipeline as one, and whether they went well.",
		Buckets: prometheus.ExponentialBuckets(100e-6, 4, 9)}, []string{"outcome"})} // to 6.6 s
}

func (h hook) count(since time.Time, err error) {
	outcome := "ok"
	if err != nil && !errors.Is(err, redis.Nil) && !errors.Is(err, context.Canceled) && !redis.HasErrorPrefix(err, "NOSCRIPT") {
		outcome = "error"
	}
	h.took.WithLabelValues(outcome).Observe(time.Since(since).Seconds())
}

// DialHook implements redis.Hook.
func (h hook) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (h hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		start := time.Now()
		err := next(ctx, cmd)
		h.count(start, err)
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (h hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		start := time.Now()
		err := next(ctx, cmds)
		h.count(start, err)
		return err
	}
}
