package routes

import (
	"net/http"
)

// scope is what a key must allow for an operation; see [access.Scope]. It is enforced
// where keys are required, and the document shows it.
type scope string

const (
	open     scope = "open"    // no key: health, and what documents the API
	predicts scope = "predict" // answers from models, and what there is to ask
	tunes    scope = "tune"    // data sets, jobs, and the adapters of one's own tenant
	admin    scope = "admin"   // what is shared: the device's memory, and keys
	measures scope = "metrics" // the metrics
)

// operation is one row of the table: what is asked for, who answers, with what
// status, and who may ask.
type operation struct {
	method, path string
	endpoint     endpoint
	status       int
	scope        scope
	long         bool // waits for what others do: ends when the service drains
}

// operations is every operation there is. Adding one means a row here and a comment
// above its handler; a test compares the two.
func (h *Handler) operations(o Options) []operation {
	var (
		p = predict{o.Engine, h.limits, h.metrics}
		g = generate{o.Engine, h.metrics, h.limits.Heartbeat, h.closing}
		t = tune{o.Engine, o.Datasets, o.Planner, o.Jobs}
		j = tuningJobs{o.Jobs, h.limits.Heartbeat}
		d = datasetRoutes{o.Datasets, h.limits, h.metrics, h.ends}
		a = adapterRoutes{o.Engine, o.Adapters, o.Sources, h.limits, h.metrics}
		f = feedbackRoutes{o.Feedback, o.Datasets}
		k = keyRoutes{o.Access.Keys, h.ends}
		s = self{h, o.Engine, o.Ready, o.Info}
	)
	const (
		get, post, del = http.MethodGet, http.MethodPost, http.MethodDelete

		ok, created, accepted, empty = http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent
	)
	return append([]operation{
		{post, "/predict", handle(p.run), ok, predicts, false},
		{post, "/generate", handle(g.run), ok, predicts, false},
		{get, "/models", handle(s.models), ok, predicts, false},

		{post, "/tune/full", handle(t.full), accepted, tunes, false},
		{post, "/tune/lora", handle(t.lora), accepted, tunes, false},
		{post, "/tune/instruction", handle(t.instruction), accepted, tunes, false},
		{get, "/tune/queue", handle(j.state), ok, tunes, false},
		{get, "/tune/jobs", handle(j.list), ok, tunes, false},
		{get, "/tune/jobs/{id}", handle(j.get), ok, tunes, true},
		{del, "/tune/jobs/{id}", handle(j.remove), empty, tunes, false},
		{post, "/tune/jobs/{id}/cancel", handle(j.cancel), ok, tunes, false},
		{post, "/tune/jobs/{id}/pause", handle(j.pause), ok, tunes, false},
		{post, "/tune/jobs/{id}/resume", handle(j.resume), ok, tunes, false},
		{get, "/tune/jobs/{id}/events", handle(j.events), ok, tunes, true},
		{get, "/tune/jobs/{id}/metrics", handle(j.metrics), ok, tunes, false},
		{get, "/tune/jobs/{id}/checkpoints", handle(j.checkpoints), ok, tunes, false},

		{post, "/datasets", handle(d.create), created, tunes, false},
		{get, "/datasets", handle(d.list), ok, tunes, false},
		{get, "/datasets/{id}", handle(d.get), ok, tunes, false},
		{get, "/datasets/{id}/preview", handle(d.preview), ok, tunes, false},
		{get, "/datasets/{id}/doctor", handle(d.examine), ok, tunes, false},
		{post, "/datasets/{id}/clean", handle(d.clean), created, tunes, false},
		{get, "/datasets/{id}/quarantine", handle(d.quarantine), ok, tunes, false},
		{del, "/datasets/{id}", handle(d.remove), empty, tunes, false},

		{post, "/feedback", handle(f.add), created, predicts, false},
		{get, "/feedback", handle(f.list), ok, tunes, false},
		{get, "/feedback/{collection}", handle(f.get), ok, tunes, false},
		{del, "/feedback/{collection}", handle(f.remove), empty, tunes, false},
		{get, "/feedback/{collection}/rows", handle(f.rows), ok, tunes, false},
		{del, "/feedback/{collection}/rows/{id}", handle(f.removeRow), empty, tunes, false},
		{post, "/feedback/{collection}/datasets", handle(f.dataset), created, tunes, false},

		{get, "/adapters", handle(a.list), ok, predicts, false},
		{post, "/adapters", handle(a.create), created, tunes, false},
		{post, "/adapters/merge", handle(a.merge), created, tunes, false},
		{get, "/adapters/{name}", handle(a.get), ok, predicts, false},
		{del, "/adapters/{name}", handle(a.remove), empty, tunes, false},
		{post, "/adapters/{name}/rollback", handle(a.rollback), ok, tunes, false},
		{get, "/adapters/{name}/traffic", handle(a.showTraffic), ok, predicts, false},
		{post, "/adapters/{name}/traffic", handle(a.setTraffic), ok, tunes, false},
		{del, "/adapters/{name}/traffic", handle(a.endTraffic), empty, tunes, false},
		{get, "/adapters/{name}/versions/{v}", handle(a.version), ok, predicts, false},
		{del, "/adapters/{name}/versions/{v}", handle(a.removeVersion), empty, tunes, false},
		{get, "/adapters/{name}/versions/{v}/merged", handle(a.merged), ok, predicts, false},
		{get, "/adapters/{name}/versions/{v}/passport", handle(a.passport), ok, predicts, false},
		{get, "/adapters/{name}/versions/{v}/files/{file}", handle(a.file), ok, predicts, false},
		{post, "/adapters/{name}/versions/{v}/load", handle(a.load), ok, admin, false},
		{post, "/adapters/{name}/versions/{v}/unload", handle(a.unload), ok, admin, false},
		{post, "/adapters/{name}/versions/{v}/pin", handle(a.pin), ok, admin, false},
		{post, "/adapters/{name}/versions/{v}/unpin", handle(a.unpin), ok, admin, false},

		{get, "/keys", handle(k.list), ok, admin, false},
		{post, "/keys", handle(k.create), created, admin, false},
		{del, "/keys/{id}", handle(k.revoke), empty, admin, false},

		{get, "/", handle(s.home), ok, open, false},
		{get, "/dashboard/{file}", handle(s.dashboardFile), ok, open, false},
		{get, "/livez", handle(s.live), ok, open, false},
		{get, "/readyz", handle(s.readiness), ok, open, false},
		{get, "/metrics", handle(s.metrics), ok, measures, false},
		{get, "/info", handle(s.about), ok, predicts, false},
		{get, "/openapi.json", handle(s.document), ok, open, false},
		{get, "/docs", handle(s.docs), ok, open, false},
	}, h.openai(o)...)
}
