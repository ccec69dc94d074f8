package routes

import (
	"log/slog"
	"net/http"
)

// changes reports whether an operation is one that the audit log tells of: one that
// changes what is stored or served. Asking a model changes nothing.
func (o operation) changes() bool {
	return o.method != http.MethodGet && o.scope != predicts
}

// unchanged is an answer that may say that nothing was changed after all.
type unchanged interface{ unchanged() bool }

func (s submission) unchanged() bool { return s.plan != nil || s.replayed }

// audit writes one line for each change, and for each that was refused: who, what, to
// what, with what result. It holds names and ids, never what was in a body.
func (h *Handler) audit(o operation, r *http.Request, out any, err error) {
	if u, ok := out.(unchanged); !o.changes() || err == nil && ok && u.unchanged() {
		return
	}
	v := visitOf(r)
	result := "ok"
	if err != nil {
		result = classify(err).code
	}
	who := v.caller.attrs()
	if who == nil {
		who = []slog.Attr{slog.String("key", ""), slog.String("tenant", "")}
	}
	attrs := append(who, slog.String("action", o.method+" "+o.path), slog.String("object", brief(r.URL.Path)),
		slog.String("result", result), slog.String("request_id", v.id), slog.String("remote", r.RemoteAddr))
	for _, a := range v.attrs { // what the handler says was made
		switch a.Key {
		case "job", "dataset", "adapter", "made", "made_scope", "made_for":
			attrs = append(attrs, a)
		}
	}
	h.log.LogAttrs(r.Context(), slog.LevelInfo, "audit", append(attrs, v.traced()...)...)
}
