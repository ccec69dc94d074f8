package routes

import "github.com/prometheus/client_golang/prometheus"

// hookGauges tells how webhooks fare.
type hookGauges struct{ hooks hooks }

var (
	hookDesc    = prometheus.NewDesc("lorikeet_webhook_deliveries_total", "Attempts to tell a webhook endpoint that a job is over, by outcome; given_up counts deliveries.", []string{"outcome"}, nil)
	pendingDesc = prometheus.NewDesc("lorikeet_webhook_pending", "Deliveries to webhook endpoints that wait for an attempt.", nil, nil)
)

// Describe implements prometheus.Collector.
func (g hookGauges) Describe(out chan<- *prometheus.Desc) {
	out <- hookDesc
	out <- pendingDesc
}

// Collect implements prometheus.Collector.
func (g hookGauges) Collect(out chan<- prometheus.Metric) {
	s := g.hooks.Stats()
	for outcome, n := range map[string]int64{"ok": s.Delivered, "failed": s.Failed, "given_up": s.GivenUp} {
		out <- prometheus.MustNewConstMetric(hookDesc, prometheus.CounterValue, float64(n), outcome)
	}
	out <- prometheus.MustNewConstMetric(pendingDesc, prometheus.GaugeValue, float64(s.Pending))
}
