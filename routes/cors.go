package routes

import (
	"net/http"
	"slices"
)

// What a page of an allowed origin may send and read.
const (
	corsMethods = "GET, HEAD, POST, DELETE"
	corsHeaders = "Authorization, X-API-Key, Content-Type, Accept, Idempotency-Key, Last-Event-ID, X-Adapter, X-Request-Id"
	corsExposed = "X-Request-Id, Location, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Idempotency-Replayed, WWW-Authenticate, ETag"
)

// cors tells a browser that a page of an allowed origin may use the API, and answers
// its preflight. Cookies are not used, so none are allowed along.
func (h *Handler) cors(w http.ResponseWriter, r *http.Request) (answered bool) {
	if len(h.access.Origins) == 0 {
		return false
	}
	head := w.Header()
	head.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if !slices.Contains(h.access.Origins, origin) {
		return false
	}
	head.Set("Access-Control-Allow-Origin", origin)
	head.Set("Access-Control-Expose-Headers", corsExposed)
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	head.Set("Access-Control-Allow-Methods", corsMethods)
	head.Set("Access-Control-Allow-Headers", corsHeaders)
	head.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}
