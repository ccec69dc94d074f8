package routes

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"lorikeet/routes/access"
)

// Access says who may ask, and how much.
type Access struct {
	Keys     keyring  // the keys there are; required
	Required bool     // a request needs a key; without, everyone may do everything
	Local    bool     // only programs of this machine are to be served; see fromHere
	Rate     float64  // requests a second that one key may send; 0: any number
	Origins  []string // of web pages that may use the API, as "https://app.example"
}

// keyring is what HTTP needs of the keys; see [access.Ring].
type keyring interface {
	Check(ctx context.Context, token string) (access.Key, error)
	Create(context.Context, access.Request) (k access.Key, token string, err error)
	List(context.Context) ([]access.Key, error)
	Revoke(ctx context.Context, id string) (access.Key, error)
}

// What one key may have open at a time: far more than a client that works in batches
// needs, and few enough that one key cannot take all connections or all memory.
const (
	keyInFlight = 64
	keyStreams  = 32
)

// caller is who asked. The zero caller is nobody: it sees what the default tenant has.
type caller struct {
	key access.Key // the zero key: none was needed
	all bool       // sees and changes what any tenant has
}

func callerIn(ctx context.Context) caller { return visitIn(ctx).caller }

func (c caller) tenant() string { return c.key.Tenant }

func (c caller) sees(tenant string) bool { return c.all || c.key.Tenant == tenant }

// scopeError is an ErrScope that says which scope it takes.
type scopeError struct{ has, wanted access.Scope }

func (e scopeError) Error() string {
	return fmt.Sprintf("%v: this takes a key of scope %s, yours has %s", access.ErrScope, e.wanted, e.has)
}

func (scopeError) Unwrap() error { return access.ErrScope }

// admit finds out who asks, and whether they may. done is for when the request is over.
func (h *Handler) admit(o operation, w http.ResponseWriter, r *http.Request) (done func(), err error) {
	v := visitOf(r)
	if o.scope == open {
		return func() {}, nil
	}
	if !h.access.Required {
		v.caller = caller{all: true}
		return func() {}, nil
	}
	token, err := tokenOf(r.Header)
	if err != nil {
		return nil, err
	}
	key, err := h.access.Keys.Check(r.Context(), token)
	if err != nil {
		return nil, err
	}
	v.caller = caller{key: key, all: key.Scope.Allows(access.Admin)}
	v.attrs = append(v.attrs, v.caller.attrs()...)
	if v.use, err = h.limiter.Begin(key.ID, w.Header()); err != nil {
		return nil, err
	}
	done = v.use.Done
	v.valid = func(ctx context.Context) error {
		_, err := h.access.Keys.Check(ctx, token)
		return err
	}
	if !key.Scope.Allows(access.Scope(o.scope)) {
		done()
		return nil, scopeError{key.Scope, access.Scope(o.scope)}
	}
	return done, nil
}

// attrs tell in the log who asked; never with what.
func (c caller) attrs() []slog.Attr {
	if c.key.ID == "" {
		return nil
	}
	return []slog.Attr{slog.String("key", c.key.ID), slog.String("tenant", tenantName(c.key.Tenant))}
}

func tenantName(t string) string {
	if t == "" {
		return access.DefaultTenant
	}
	return t
}

// tokenOf takes the key out of a request: "Authorization: Bearer …" as OpenAI clients
// send it, or X-API-Key.
func tokenOf(h http.Header) (string, error) {
	const help = `send "Authorization: Bearer lk_…" or "X-API-Key: lk_…"`
	given := h.Get("Authorization")
	kind, token, _ := strings.Cut(given, " ")
	switch {
	case strings.EqualFold(kind, "Bearer"):
		return strings.TrimSpace(token), nil
	case h.Get("X-Api-Key") != "":
		return strings.TrimSpace(h.Get("X-Api-Key")), nil
	case given != "":
		return "", fmt.Errorf("%w: the Authorization that came is not a Bearer; %s", access.ErrNoKey, help)
	}
	return "", fmt.Errorf("%w: %s", access.ErrNoKey, help)
}

// challenge is the WWW-Authenticate of a 401, and of a 403 for want of a scope (RFC 6750).
func challenge(code string, wanted access.Scope) string {
	const realm = `Bearer realm="lorikeet"`
	switch {
	case wanted != "":
		return fmt.Sprintf(`%s, error="insufficient_scope", scope="%s"`, realm, wanted)
	case code == "invalid_api_key":
		return realm + `, error="invalid_token"`
	}
	return realm
}

// fromHere reports whether a request names this machine as its host. Where there are no
// keys, loopback is the only guard, and a web page gets around it by giving its own
// name the address 127.0.0.1 (DNS rebinding): to the browser this service is then the
// page's own site. The Host header still tells.
func fromHere(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") { // none: not a browser
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
