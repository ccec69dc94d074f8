package routes

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"lorikeet/routes/access"
)

// guarded is a service that asks for keys.
func guarded(t *testing.T, change func(*Options)) *service {
	return newService(t, func(o *Options) {
		o.Access.Required = true
		if change != nil {
			change(o)
		}
	})
}

// key makes a key and gives the header that sends it.
func (s *service) key(scope access.Scope, tenant string) (id string, header []string) {
	s.Helper()
	k, token, err := s.handler.access.Keys.Create(s.Context(), access.Request{Scope: scope, Tenant: tenant})
	if err != nil {
		s.Fatal(err)
	}
	return k.ID, []string{"Authorization", "Bearer " + token}
}

// at is a path of the table with something in its places.
func (o operation) at() string {
	return strings.NewReplacer("{name}", "nothing", "{v}", "1", "{file}", "f", "{id}", "job_aaaaaaaaaaaaaaaaaaaa").Replace(o.path)
}

// Every operation with every kind of key: nobody gets in who should not.
func TestScopesOfTheWholeTable(t *testing.T) {
	s := guarded(t, nil)
	revoked, gone := s.key(access.Admin, "")
	if _, err := s.handler.access.Keys.Revoke(t.Context(), revoked); err != nil {
		t.Fatal(err)
	}
	_, whole := s.key(access.Admin, "")
	soon := time.Now().Add(100 * time.Millisecond)
	_, expiring, err := s.handler.access.Keys.Create(t.Context(), access.Request{Scope: access.Admin, ExpiresAt: &soon})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(soon))
	strangers := map[string][]string{
		"no key": nil, "a revoked key": gone, "an expired key": {"X-API-Key", expiring},
		"a key made up":        {"Authorization", "Bearer lk_aaaaaaaaaaaaaaaaaaaa_" + strings.Repeat("a", 52)},
		"another secret":       {"X-API-Key", strings.TrimPrefix(whole[1], "Bearer ")[:60] + strings.Repeat("a", 16)},
		"what is no key":       {"Authorization", "Bearer sk-123"},
		"an empty bearer":      {"Authorization", "Bearer "},
		"a password":           {"Authorization", "Basic YWRtaW46YWRtaW4="},
		"a key in the query":   nil, // only headers are read: addresses end up in logs
		"a key in lower case":  {"Authorization", strings.ToLower(gone[1]) + "x"},
		"a key with a newline": {"X-API-Key", strings.TrimPrefix(gone[1], "Bearer ") + "\t1"},
	}
	holders := map[access.Scope][]string{}
	for _, scope := range []access.Scope{access.Predict, access.Tune, access.Admin, access.Metrics} {
		_, holders[scope] = s.key(scope, "acme")
	}
	for _, o := range s.handler.table {
		t.Run(o.method+" "+o.path, func(t *testing.T) {
			s := s.on(t)
			var body any
			if o.method == http.MethodPost {
				body = "{}"
			}
			if o.changes() != (o.method != http.MethodGet && o.scope != predicts) || o.changes() && o.scope != tunes && o.scope != admin {
				t.Errorf("changes something for a key of scope %s", o.scope)
			}
			ways := map[bool]int{true: 0, false: 2}[o.scope == open] // to send a key
			op := s.document.Paths.Find(o.path).GetOperation(o.method)
			if op.Security == nil || len(*op.Security) != ways || (op.Responses.Value("401") != nil) != (ways > 0) {
				t.Errorf("the document has %v, and answers %v", op.Security, op.Responses.Keys())
			}
			for name, header := range strangers {
				a := s.do(o.method, o.at(), body, header...)
				if o.scope == open {
					if a.status == 401 || a.status == 403 {
						t.Errorf("%s: %d", name, a.status)
					}
					continue
				}
				if a.status != 401 || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), `Bearer realm="lorikeet"`) || a.problem().Error.Type != "authentication_error" {
					t.Errorf("%s: %d, %q, %s", name, a.status, a.header.Get("WWW-Authenticate"), a.body)
				}
			}
			for scope, header := range holders {
				a := s.do(o.method, o.at(), body, header...)
				if o.scope == open || scope.Allows(access.Scope(o.scope)) {
					if a.status == 401 || a.status == 403 {
						t.Errorf("%s: %d %s", scope, a.status, a.body)
					}
					continue
				}
				p := a.problem()
				if a.status != 403 || p.Code != "insufficient_scope" || !strings.Contains(p.Detail, "scope "+string(o.scope)) ||
					!strings.Contains(a.header.Get("WWW-Authenticate"), fmt.Sprintf(`scope="%s"`, o.scope)) {
					t.Errorf("%s: %d %q %s", scope, a.status, a.header.Get("WWW-Authenticate"), a.body)
				}
			}
		})
	}
}

func TestBothWaysToSendAKey(t *testing.T) {
	s := guarded(t, nil)
	_, header := s.key(access.Predict, "")
	token := strings.TrimPrefix(header[1], "Bearer ")
	for _, h := range [][]string{header, {"Authorization", "bearer " + token}, {"X-API-Key", token},
		{"Authorization", "Basic cHJveHk6cHJveHk=", "X-API-Key", token}} { // the proxy's and ours
		s.want(200, "GET", "/models", nil, h...)
	}
	if p := s.want(401, "GET", "/models?api_key="+token, nil).problem(); p.Code != "missing_api_key" {
		t.Error(p.Code)
	}
	_, tuner := s.key(access.Tune, "")
	for range keyInFlight + keyStreams { // one after the other, so none is counted for long
		s.want(404, "GET", "/tune/jobs/job_aaaaaaaaaaaaaaaaaaaa", nil, tuner...)
	}
	// Two keys that differ: the first is the one that counts, and it is wrong.
	s.want(401, "GET", "/models", nil, "Authorization", "Bearer nonsense", "X-API-Key", token)
}

func TestWithoutKeysEveryoneMayDoEverything(t *testing.T) {
	s := newService(t, nil)
	s.want(200, "GET", "/keys", nil)
	s.want(200, "GET", "/metrics", nil)
	s.want(200, "POST", "/predict", `{"inputs":"a"}`, "Authorization", "Bearer sk-anything") // what OpenAI clients cannot leave out
}

func TestRates(t *testing.T) {
	s := guarded(t, func(o *Options) { o.Access.Rate = 1 })
	_, busy := s.key(access.Predict, "")
	_, calm := s.key(access.Predict, "")
	var last answer
	for range 4 { // two at once, and what a slow machine lets grow again
		last = s.do("GET", "/models", nil, busy...)
	}
	if last.status != 429 || last.problem().Code != "rate_limit_exceeded" || last.problem().Error.Type != "rate_limit_error" {
		t.Fatalf("%d %s", last.status, last.body)
	}
	if n, err := strconv.Atoi(last.header.Get("Retry-After")); err != nil || n < 1 || n > 120 {
		t.Errorf("Retry-After %q", last.header.Get("Retry-After"))
	}
	if h := last.header; h.Get("RateLimit-Limit") != "2" || h.Get("RateLimit-Remaining") != "0" || h.Get("RateLimit-Reset") == "" {
		t.Errorf("%v", h)
	}
	if h := s.want(200, "GET", "/models", nil, calm...).header; h.Get("RateLimit-Remaining") != "1" {
		t.Errorf("another key: %v", h)
	}
	s.want(200, "GET", "/livez", nil, busy...)
}

func TestAnAttemptThatIsRefusedCounts(t *testing.T) {
	s := guarded(t, func(o *Options) { o.Access.Rate = 1 })
	_, header := s.key(access.Predict, "")
	for range 4 {
		if a := s.do("GET", "/keys", nil, header...); a.status == 429 {
			return
		}
	}
	t.Error("a key may knock at what it may not do as often as it likes")
}

// Two replicas on one store: each sees what the other does to keys.
func TestReplicasShareTheirKeys(t *testing.T) {
	here := guarded(t, nil)
	there := guarded(t, func(o *Options) {
		ring, err := access.Open(t.Context(), here.store)
		if err != nil {
			t.Fatal(err)
		}
		o.Access.Keys = ring
	})
	_, admin := here.key(access.Admin, "")
	eventually := func(status int, header []string) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			a := there.do("GET", "/models", nil, header...)
			if a.status == status {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("still %d %s", a.status, a.body)
			}
		}
	}
	var made createdKey
	here.want(201, "POST", "/keys", `{"name":"ci","scope":"predict","tenant":"acme"}`, admin...).into(&made)
	header := []string{"X-API-Key", made.Key}
	eventually(200, header)
	here.want(204, "DELETE", "/keys/"+made.ID, nil, admin...)
	here.want(401, "GET", "/models", nil, header...)
	eventually(401, header)
}

func TestOnlyThisMachineIsServedWithoutKeys(t *testing.T) {
	s := newService(t, func(o *Options) { o.Access.Local = true })
	for host, status := range map[string]int{
		"localhost": 200, "localhost:8080": 200, "127.0.0.1:8080": 200, "127.0.0.2": 200, "[::1]:8080": 200, "LOCALHOST.": 200, "app.localhost": 200, "": 200,
		"evil.example": 403, "evil.example:8080": 403, "127.0.0.1.evil.example": 403, "localhost.evil.example": 403, "10.0.0.1": 403, "[::]": 403, "0.0.0.0": 403, "notlocalhost": 403,
	} {
		if got := fromHere(host); got != (status == 200) {
			t.Errorf("%q is here: %v", host, got)
		}
	}
	if p := s.want(403, "GET", "/models", nil).problem(); p.Code != "not_local" { // httptest says example.com
		t.Error(p.Code)
	}
	keyed := newService(t, func(o *Options) { o.Access.Local, o.Access.Required = true, true })
	keyed.want(401, "GET", "/models", nil) // a key is guard enough
}

func TestPagesOfOtherOrigins(t *testing.T) {
	s := guarded(t, func(o *Options) { o.Access.Origins = []string{"https://app.example"} })
	_, header := s.key(access.Predict, "")
	preflight := []string{"Origin", "https://app.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization"}
	a := s.do("OPTIONS", "/predict", nil, preflight...)
	if a.status != 204 || a.header.Get("Access-Control-Allow-Origin") != "https://app.example" || a.header.Get("Vary") != "Origin" ||
		!strings.Contains(a.header.Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Errorf("%d %v", a.status, a.header)
	}
	own := append([]string{"Origin", "https://app.example", "Sec-Fetch-Site", "cross-site"}, header...)
	if a := s.want(200, "POST", "/predict", `{"inputs":"a"}`, own...); a.header.Get("Access-Control-Allow-Origin") != "https://app.example" {
		t.Errorf("%v", a.header)
	}
	if a := s.want(401, "POST", "/predict", `{"inputs":"a"}`, own[:4]...); a.header.Get("Access-Control-Allow-Origin") == "" {
		t.Error("the page cannot read why it was refused")
	}
	other := append([]string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, header...)
	if a := s.want(403, "POST", "/predict", `{"inputs":"a"}`, other...); a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%v", a.header)
	}
	if a := s.do("OPTIONS", "/predict", nil, "Origin", "https://evil.example", "Access-Control-Request-Method", "POST"); a.status == 204 {
		t.Error("a preflight of any origin is answered")
	}
	t.Run("get nothing unless they are named", func(t *testing.T) {
		s := newService(t, nil)
		if a := s.do("GET", "/livez", nil, "Origin", "https://app.example"); a.header.Get("Access-Control-Allow-Origin") != "" || a.header.Get("Vary") != "" {
			t.Errorf("%v", a.header)
		}
	})
}
