package inference

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Where an adapter may be: in a slot of the bank, ready in memory, or only as files.
const (
	tierDevice = "device"
	tierHost   = "host"
	tierDisk   = "disk"
)

// meters are what the engine counts as it works. Those that follow from its state are
// made when they are asked for; see [Engine.Collectors].
type meters struct {
	tokenize prometheus.Histogram
	rows     prometheus.Histogram
	adapters prometheus.Histogram
	load     *prometheus.HistogramVec
	requests *prometheus.CounterVec
	evicted  *prometheus.CounterVec
}

func newMeters() *meters {
	m := &meters{
		tokenize: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "lorikeet_tokenization_duration_seconds", Help: "Time to make tokens of all texts of a request.",
			Buckets: prometheus.ExponentialBuckets(10e-6, 4, 9)}), // to 0.65 s
		rows: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "lorikeet_batch_size", Help: "Texts in a batch that was scored.", Buckets: prometheus.ExponentialBuckets(1, 2, 9)}),
		adapters: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "lorikeet_batch_adapters", Help: "Different adapters in a batch that was scored; the bare base is none.",
			Buckets: []float64{0, 1, 2, 4, 8, 16, 32, 64}}),
		load: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "lorikeet_adapter_load_duration_seconds", Help: "Time to bring an adapter one tier up: from the store to memory (source=\"disk\"), or from memory to slots on the device (source=\"host\").",
			Buckets: prometheus.ExponentialBuckets(100e-6, 4, 9)}, []string{"source"}), // to 6.6 s
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lorikeet_adapter_cache_requests_total", Help: "How often an adapter was looked for in a tier, and whether it was there."},
			[]string{"tier", "result"}),
		evicted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lorikeet_adapter_evictions_total", Help: "Adapters that had to make room for others, by the tier that they left. Variants count to the device."},
			[]string{"tier"}),
	}
	for _, tier := range []string{tierDevice, tierHost} { // so that a rate is there before the first event
		m.evicted.WithLabelValues(tier)
		for _, result := range []string{"hit", "miss"} {
			m.requests.WithLabelValues(tier, result)
		}
	}
	m.load.WithLabelValues(tierDisk)
	m.load.WithLabelValues(tierHost)
	return m
}

// looked counts a look for an adapter in a tier. A nil m counts nothing, as the others.
func (m *meters) looked(tier string, found bool) {
	if m == nil {
		return
	}
	if found {
		m.requests.WithLabelValues(tier, "hit").Inc()
	} else {
		m.requests.WithLabelValues(tier, "miss").Inc()
	}
}

func (m *meters) loaded(source string, since time.Time) {
	if m != nil {
		m.load.WithLabelValues(source).Observe(time.Since(since).Seconds())
	}
}

func (m *meters) evict(tier string) {
	if m != nil {
		m.evicted.WithLabelValues(tier).Inc()
	}
}

func (m *meters) batch(rows, adapters int) {
	m.rows.Observe(float64(rows))
	m.adapters.Observe(float64(adapters))
}

// Collectors give the engine's metrics: of the batches, and of where adapters are.
func (e *Engine) Collectors() []prometheus.Collector {
	m := e.meters
	return []prometheus.Collector{m.tokenize, m.rows, m.adapters, m.load, m.requests, m.evicted, tierGauges{e}}
}

// tierGauges tell what is where.
type tierGauges struct{ e *Engine }

var (
	residentDesc  = prometheus.NewDesc("lorikeet_adapters_resident", "Adapters in a tier.", []string{"tier"}, nil)
	tierBytesDesc = prometheus.NewDesc("lorikeet_adapter_cache_bytes", "Bytes of the adapters in a tier; on the device without the empty part of their slots.", []string{"tier"}, nil)
	slotsDesc     = prometheus.NewDesc("lorikeet_adapter_slots", "Slots of rank 8 on the device for a base's adapters.", []string{"model"}, nil)
	graphsDesc    = prometheus.NewDesc("lorikeet_graphs", "Compiled graphs: those there are from the start, and tighter ones that traffic asked for. Each takes some megabytes.", nil, nil)
	slotsFreeDesc = prometheus.NewDesc("lorikeet_adapter_slots_free", "Slots that hold no adapter.", []string{"model"}, nil)
)

// Describe implements prometheus.Collector.
func (tierGauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{residentDesc, tierBytesDesc, slotsDesc, slotsFreeDesc, graphsDesc} {
		out <- d
	}
}

// Collect implements prometheus.Collector. It waits for nobody but the holders of
// short locks.
func (g tierGauges) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	g.e.mu.RLock()
	banks := map[string]*bank{}
	for name, s := range g.e.bases {
		if s.bank != nil {
			banks[name] = s.bank
		}
	}
	graphs := 0
	for _, p := range g.e.shared {
		graphs += p.count()
	}
	for _, s := range g.e.scripts {
		graphs += s.count()
	}
	g.e.mu.RUnlock()
	gauge(graphsDesc, float64(graphs))
	var count, bytes int64
	for name, b := range banks {
		n, size, free := b.holds()
		count, bytes = count+n, bytes+size
		gauge(slotsDesc, float64(b.size-1), name)
		gauge(slotsFreeDesc, float64(free), name)
	}
	gauge(residentDesc, float64(count), tierDevice)
	gauge(tierBytesDesc, float64(bytes), tierDevice)
	count, bytes = g.e.host.holds()
	gauge(residentDesc, float64(count), tierHost)
	gauge(tierBytesDesc, float64(bytes), tierHost)
}

// holds counts the adapters in a bank, their bytes, and the slots that are free.
func (b *bank) holds() (n, bytes int64, free int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.loaded {
		n++
		bytes += r.adapter.Bytes
	}
	return n, bytes, len(b.free)
}

// holds counts the adapters in memory, and their bytes.
func (h *hostCache) holds() (n, bytes int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return int64(len(h.held)), h.bytes
}

// count counts the graphs of a model.
func (g *programs) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.ready)
}

// count counts the graphs of a model that writes.
func (g *scripts) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.steps) + len(g.reads) + len(g.others)
}
