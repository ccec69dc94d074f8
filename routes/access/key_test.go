package access

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"lorikeet/adapters/invalid"
)

func TestScopesIncludeOneAnother(t *testing.T) {
	for scope, allowed := range map[Scope][]Scope{
		Predict: {Predict}, Tune: {Predict, Tune}, Admin: {Predict, Tune, Admin, Metrics}, Metrics: {Metrics}, "": nil, "root": nil,
	} {
		for _, wanted := range []Scope{Predict, Tune, Admin, Metrics, "", "root"} {
			if got := scope.Allows(wanted); got != slices.Contains(allowed, wanted) {
				t.Errorf("%q allows %q: %v", scope, wanted, got)
			}
		}
	}
}

func TestKeysAreRandomAndLong(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id, secret := mint()
		token := tokenPrefix + id + "_" + secret
		gotID, gotSecret, err := Parse(token)
		if err != nil || gotID != idPrefix+id || gotSecret != secret || seen[id] || seen[secret] {
			t.Fatalf("%s: %q, %q, %v", token, gotID, gotSecret, err)
		}
		seen[id], seen[secret] = true, true
		if b, err := lower.DecodeString(secret); err != nil || len(b) != 32 {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
	}
}

func TestWhatIsNoKey(t *testing.T) {
	id, secret := mint()
	for _, token := range []string{"", "lk_", "lk__", "lk_" + id, "lk_" + id + "_", "lk_" + id + secret, "sk-" + id + "_" + secret,
		"LK_" + id + "_" + secret, strings.ToUpper("lk_" + id + "_" + secret), "lk_" + id + "_" + secret + "a", "lk_" + id + "_" + secret[1:],
		"lk_" + id + "_" + secret[1:] + "1", "lk_../../etc/passwd__________" + secret, "lk_" + id + "_" + secret + "\n"} {
		_, _, err := Parse(token)
		if !errors.Is(err, ErrBadKey) {
			t.Errorf("%q: %v", token, err)
		}
		if err != nil && token != "" && len(token) > 30 && strings.Contains(err.Error(), secret) {
			t.Errorf("the error repeats what was sent: %v", err)
		}
	}
}

// FuzzParse: what is taken is written in one way only, and its id is a key of the store.
func FuzzParse(f *testing.F) {
	id, secret := mint()
	for _, s := range []string{"", "lk_", "lk_" + id + "_" + secret, "lk_" + id + "_" + secret + "_", "lk_a_b", "lk_\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		id, secret, err := Parse(token)
		if err != nil {
			if !errors.Is(err, ErrBadKey) || id != "" || secret != "" {
				t.Fatalf("%q: %q, %q, %v", token, id, secret, err)
			}
			return
		}
		if tokenPrefix+strings.TrimPrefix(id, idPrefix)+"_"+secret != token || !validID(id) {
			t.Fatalf("%q is taken as %q and %q", token, id, secret)
		}
	})
}

func TestRequestsAreChecked(t *testing.T) {
	now := time.Now()
	past := now.Add(-time.Second)
	for name, c := range map[string]struct {
		request Request
		fields  []string
	}{
		"a whole one":             {Request{Name: "ci", Tenant: "acme.eu", Scope: Tune}, nil},
		"no scope":                {Request{}, []string{"scope"}},
		"a scope made up":         {Request{Scope: "root"}, []string{"scope"}},
		"all wrong":               {Request{Scope: "x", Name: "a\nb", Tenant: "Acme", ExpiresAt: &past}, []string{"scope", "name", "tenant", "expires_at"}},
		"a name too long":         {Request{Scope: Admin, Name: strings.Repeat("a", 101)}, []string{"name"}},
		"a name that is no text":  {Request{Scope: Admin, Name: "\xff"}, []string{"name"}},
		"a tenant that climbs":    {Request{Scope: Admin, Tenant: "../x"}, []string{"tenant"}},
		"a tenant too long":       {Request{Scope: Admin, Tenant: strings.Repeat("a", 65)}, []string{"tenant"}},
		"a tenant with no letter": {Request{Scope: Admin, Tenant: "-"}, []string{"tenant"}},
	} {
		var fields []string
		for _, f := range invalid.Faults(c.request.check(now)) {
			fields = append(fields, f.Field)
		}
		if !slices.Equal(fields, c.fields) {
			t.Errorf("%s: faults in %q, want %q", name, fields, c.fields)
		}
	}
}
