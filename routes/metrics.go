package routes

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"lorikeet/adapters"
	"lorikeet/inference"
	"lorikeet/tuning"
	"lorikeet/tuning/queue"
)

// meters are the Prometheus metrics that HTTP itself knows. Others may register
// theirs with the same registry.
type meters struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	inFlight  prometheus.Gauge
	predicted *prometheus.HistogramVec
	queued    prometheus.Histogram
	inferred  prometheus.Histogram
	tokens    prometheus.Counter
	first     prometheus.Histogram
	perToken  prometheus.Histogram
	texts     *prometheus.CounterVec
	uploads   *prometheus.CounterVec
	versions  *prometheus.HistogramVec
	splits    func(name string) bool // whether the requests for a name are split
	top       *ranking
}

// From a cached small model on a GPU to a long text on a laptop.
var latencies = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120}

func newMeters(r *prometheus.Registry, jobs jobs, engine engine, hooks hooks) (*meters, error) {
	m := &meters{
		registry: r,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lorikeet_http_requests_total", Help: "HTTP requests answered, by route, method and status."},
			[]string{"route", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "lorikeet_http_request_duration_seconds", Help: "From the first byte of the request's head to the end of the answer.",
			Buckets: latencies}, []string{"route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "lorikeet_http_requests_in_flight", Help: "HTTP requests being answered now."}),
		predicted: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "lorikeet_request_duration_seconds", Help: "Inference requests answered, by task and adapter (the busiest; the rest is \"other\").",
			Buckets: latencies}, []string{"task", "adapter"}),
		queued: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "lorikeet_queue_wait_seconds", Help: "Time an inference request waited for the device.", Buckets: latencies}),
		inferred: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "lorikeet_inference_duration_seconds", Help: "Time an inference request was on the device.", Buckets: latencies}),
		tokens: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lorikeet_prompt_tokens_total", Help: "Input tokens of answered inference requests, without padding."}),
		first: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "lorikeet_time_to_first_token_seconds", Help: "From the request for a text to its first token, waiting included.", Buckets: latencies}),
		perToken: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "lorikeet_time_per_output_token_seconds", Help: "Mean time between the tokens of a text, after the first.", Buckets: latencies}),
		texts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lorikeet_generated_texts_total", Help: "Texts asked for, by how they ended: stop, length, or the code of the error. A stream that fails midway has the HTTP status 200."},
			[]string{"outcome"}),
		uploads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lorikeet_uploads_total", Help: "Datasets and adapters brought in, by kind and outcome."},
			[]string{"kind", "outcome"}),
		versions: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "lorikeet_version_request_duration_seconds", Help: "Inference requests answered by an adapter whose traffic is split, by task and version.",
			Buckets: latencies}, []string{"task", "adapter", "version"}),
		top: newRanking(50),
	}
	m.top.dropped = func(name string) {
		m.predicted.DeletePartialMatch(prometheus.Labels{"adapter": name})
		m.versions.DeletePartialMatch(prometheus.Labels{"adapter": name})
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.inFlight, m.predicted, m.queued, m.inferred,
		m.tokens, m.first, m.perToken, m.texts, m.uploads, m.versions, queueGauges{jobs}, engineGauges{engine}, hookGauges{hooks}} {
		errs = append(errs, r.Register(c))
	}
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := r.Register(c); err != nil && !errors.As(err, &prometheus.AlreadyRegisteredError{}) {
			errs = append(errs, err)
		}
	}
	return m, errors.Join(errs...)
}

// prediction counts one answered /predict.
func (m *meters) prediction(a inference.Answer, used []*adapters.Ref, took time.Duration) {
	if m == nil {
		return
	}
	names := map[string]bool{}
	for _, ref := range used {
		if ref == nil {
			names["none"] = true
		} else {
			names[m.top.label(ref.Name)] = true
		}
	}
	for name := range names {
		m.predicted.WithLabelValues("predict", name).Observe(took.Seconds())
	}
	seen := map[adapters.Ref]bool{}
	for _, ref := range used {
		if ref != nil && !seen[*ref] {
			seen[*ref] = true
			m.version("predict", ref, took)
		}
	}
	m.queued.Observe(a.Queue.Seconds())
	m.inferred.Observe(a.Inference.Seconds())
	m.tokens.Add(float64(a.InputTokens))
}

// generation counts one text that was written to its end.
func (m *meters) generation(g inference.Generated, took time.Duration) {
	if m == nil {
		return
	}
	name := "none"
	if ref := cmp.Or(g.Variant, g.Adapter); ref != nil {
		name = m.top.label(ref.Name)
		m.version("generate", ref, took)
	}
	m.predicted.WithLabelValues("generate", name).Observe(took.Seconds())
	m.queued.Observe(g.Queue.Seconds())
	m.inferred.Observe(g.Inference.Seconds())
	m.tokens.Add(float64(g.InputTokens))
	if g.First > 0 {
		m.first.Observe(g.First.Seconds())
	}
	if rest := g.Queue + g.Inference - g.First; g.OutputTokens > 1 && rest >= 0 {
		m.perToken.Observe(rest.Seconds() / float64(g.OutputTokens-1))
	}
	m.texts.WithLabelValues(g.Finish).Inc()
}

// version counts an answer of a version whose name has its traffic split; of others there
// would be a series for each version there ever was.
func (m *meters) version(task string, ref *adapters.Ref, took time.Duration) {
	if m.splits != nil && m.splits(ref.Name) && m.top.has(ref.Name) {
		m.versions.WithLabelValues(task, ref.Name, strconv.Itoa(ref.Version)).Observe(took.Seconds())
	}
}

// failedText counts one text that was not.
func (m *meters) failedText(err error) {
	if m != nil {
		m.texts.WithLabelValues(classify(err).code).Inc()
	}
}

// uploaded counts one dataset or adapter brought in, or refused.
func (m *meters) uploaded(kind string, err error) {
	outcome := "ok"
	if err != nil {
		outcome = classify(err).code
	}
	if m != nil {
		m.uploads.WithLabelValues(kind, outcome).Inc()
	}
}

// queueGauges asks the queue when Prometheus asks us.
type queueGauges struct{ jobs jobs }

var (
	jobsDesc   = prometheus.NewDesc("lorikeet_jobs", "Tuning jobs that are not over, by worker class, type and status; a paused job is neither queued nor running.", []string{"class", "type", "status"}, nil)
	upDesc     = prometheus.NewDesc("lorikeet_queue_up", "Whether Redis told how the queue fares.", nil, nil)
	depthDesc  = prometheus.NewDesc("lorikeet_job_queue_depth", "Tuning jobs that wait for a worker, by worker class: what autoscalers ask for.", []string{"class"}, nil)
	oldestDesc = prometheus.NewDesc("lorikeet_job_queue_oldest_seconds", "Age of the job that has waited longest, by worker class.", []string{"class"}, nil)
	seenDesc   = prometheus.NewDesc("lorikeet_worker_last_heartbeat_seconds", "Seconds since a worker was last heard of.", []string{"worker", "class"}, nil)
	slotsDesc  = prometheus.NewDesc("lorikeet_worker_slots", "Jobs that a worker can run at once.", []string{"worker", "class"}, nil)
	busyDesc   = prometheus.NewDesc("lorikeet_worker_busy", "Jobs that a worker runs now.", []string{"worker", "class"}, nil)
)

// Describe implements prometheus.Collector.
func (q queueGauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{upDesc, jobsDesc, depthDesc, oldestDesc, seenDesc, slotsDesc, busyDesc} {
		out <- d
	}
}

// Collect implements prometheus.Collector. It leaves the queue's other metrics out when
// the queue does not answer: no scrape may fail or hang because Redis does.
func (q queueGauges) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapePatience)
	defer cancel()
	s, err := q.jobs.Stats(ctx)
	up := 0.0
	if err == nil {
		up = 1
	}
	out <- prometheus.MustNewConstMetric(upDesc, prometheus.GaugeValue, up)
	if err != nil {
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	if _, ok := s.Classes["default"]; !ok && s.Classes != nil { // an autoscaler asks before the first job
		gauge(depthDesc, 0, "default")
	}
	for class, c := range s.Classes {
		kinds := map[tuning.Kind]queue.KindStats{}
		for _, kind := range tuning.Kinds { // one of which there are none is 0, not absent
			kinds[kind] = queue.KindStats{}
		}
		maps.Copy(kinds, c.Kinds)
		for kind, k := range kinds {
			gauge(jobsDesc, float64(k.Queued), class, string(kind), string(tuning.Queued))
			gauge(jobsDesc, float64(k.Running), class, string(kind), string(tuning.Running))
		}
		gauge(depthDesc, float64(c.Queued), class)
		gauge(oldestDesc, c.Oldest.Seconds(), class)
	}
	for _, w := range s.Workers {
		gauge(seenDesc, w.Seen.Seconds(), w.ID, w.Class)
		gauge(slotsDesc, float64(w.Slots), w.ID, w.Class)
		gauge(busyDesc, float64(w.Busy), w.ID, w.Class)
	}
}

// scrapePatience bounds what a scrape waits for the queue, or for the device.
const scrapePatience = 2 * time.Second

// engineGauges tells what is loaded and what the device has done.
type engineGauges struct{ engine engine }

var (
	modelsDesc  = prometheus.NewDesc("lorikeet_models", "Models served, by kind.", []string{"kind"}, nil)
	batchesDesc = prometheus.NewDesc("lorikeet_batches_total", "Batches run on the device.", nil, nil)
	rowsDesc    = prometheus.NewDesc("lorikeet_batch_rows_total", "Texts in the batches; over lorikeet_batches_total it is the mean batch.", nil, nil)
	batchDesc   = prometheus.NewDesc("lorikeet_batch_tokens_total", "Tokens in the batches, without (kind=\"text\") and as padding.", []string{"kind"}, nil)
	stepsDesc   = prometheus.NewDesc("lorikeet_generation_steps_total", "Steps of texts being written; each reads one token of every row.", nil, nil)
	stepRowDesc = prometheus.NewDesc("lorikeet_generation_step_rows_total", "Rows in the steps, of texts (kind=\"text\") and free (\"padding\").", []string{"kind"}, nil)
	writtenDesc = prometheus.NewDesc("lorikeet_generation_tokens_total", "Tokens written, also of texts whose caller left.", nil, nil)
	waitingDesc = prometheus.NewDesc("lorikeet_inference_waiting", "Texts that wait for the device.", nil, nil)
)

// Describe implements prometheus.Collector.
func (g engineGauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{modelsDesc, batchesDesc, rowsDesc, batchDesc, stepsDesc, stepRowDesc, writtenDesc, waitingDesc} {
		out <- d
	}
}

// Collect implements prometheus.Collector. The models are left out when the device
// is too busy to tell.
func (g engineGauges) Collect(out chan<- prometheus.Metric) {
	s := g.engine.Stats()
	send := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, value, labels...)
	}
	send(batchesDesc, prometheus.CounterValue, float64(s.Batches))
	send(rowsDesc, prometheus.CounterValue, float64(s.Rows))
	send(batchDesc, prometheus.CounterValue, float64(s.Tokens), "text")
	send(batchDesc, prometheus.CounterValue, float64(s.PaddedTokens-s.Tokens), "padding")
	send(stepsDesc, prometheus.CounterValue, float64(s.Steps))
	send(stepRowDesc, prometheus.CounterValue, float64(s.StepRows), "text")
	send(stepRowDesc, prometheus.CounterValue, float64(s.StepPadded-s.StepRows), "padding")
	send(writtenDesc, prometheus.CounterValue, float64(s.Written))
	send(waitingDesc, prometheus.GaugeValue, float64(s.Waiting))

	ctx, cancel := context.WithTimeout(context.Background(), scrapePatience)
	defer cancel()
	models, err := g.engine.Models(ctx)
	if err != nil {
		return
	}
	count := map[string]int{"base": 0, "variant": 0}
	for _, m := range models {
		count[m.Kind]++
	}
	for kind, n := range count {
		send(modelsDesc, prometheus.GaugeValue, float64(n), kind)
	}
}
