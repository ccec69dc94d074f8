// Package access says who may ask, and how much: API keys, what each allows, and the
// limits of each.
//
// A key is "lk_<id>_<secret>". The id finds its record; the secret is 256 random bits,
// of which the record holds only the SHA-256. A slow hash (bcrypt, argon2) would
// protect nothing here: it makes guessing a password that people choose expensive, and
// nobody can go through 2^256 secrets at any price, while every request would pay.
package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"lorikeet/adapters/invalid"
)

// Scope is what a key allows. admin includes all others and tune includes predict:
// who tunes wants to try what came of it. metrics stands aside, for the scraper that
// should be able to do nothing else.
type Scope string

// The scopes there are.
const (
	Predict Scope = "predict" // ask models, list what there is to ask
	Tune    Scope = "tune"    // predict, and data sets, jobs and adapters of its own tenant
	Admin   Scope = "admin"   // everything, of every tenant; keys too
	Metrics Scope = "metrics" // GET /metrics
)

var includes = map[Scope][]Scope{
	Predict: {Predict},
	Tune:    {Tune, Predict},
	Admin:   {Admin, Tune, Predict, Metrics},
	Metrics: {Metrics},
}

// Allows reports whether a key of scope s may do what asks for wanted.
func (s Scope) Allows(wanted Scope) bool {
	for _, has := range includes[s] {
		if has == wanted {
			return true
		}
	}
	return false
}

// DefaultTenant owns what is made without keys and by keys that name no tenant.
// Records leave it out.
const DefaultTenant = "default"

// Key is what is known of a key. It does not hold the secret, nor its hash.
type Key struct {
	ID        string     `json:"id"` // "key_" and 20 letters and digits
	Name      string     `json:"name,omitempty"`
	Tenant    string     `json:"tenant,omitempty"` // "": the default tenant
	Scope     Scope      `json:"scope"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"` // nil: never
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
}

// Active reports whether the key opens anything at that time.
func (k Key) Active(now time.Time) bool {
	return k.RevokedAt == nil && (k.ExpiresAt == nil || now.Before(*k.ExpiresAt))
}

// Errors that callers act on.
var (
	ErrNoKey    = errors.New("an API key is needed")
	ErrBadKey   = errors.New("the API key is not accepted")
	ErrScope    = errors.New("the API key does not allow this")
	ErrNotFound = errors.New("no such key")
	ErrRate     = errors.New("too many requests")
)

// A secret is shown once, as "lk_" id "_" secret.
const (
	tokenPrefix  = "lk_"
	idPrefix     = "key_"
	idLength     = 20 // of base32: 100 bits
	secretBytes  = 32
	secretLength = 52 // 256 bits in base32
)

var lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// mint makes an id and a secret.
func mint() (id, secret string) {
	var b [secretBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	return strings.ToLower(rand.Text()[:idLength]), lower.EncodeToString(b[:])
}

// Parse splits what a caller sent. Its error is an ErrBadKey that does not repeat what
// was sent: it may be a secret of something else.
func Parse(token string) (id, secret string, err error) {
	rest, ok := strings.CutPrefix(token, tokenPrefix)
	if ok {
		id, secret, ok = strings.Cut(rest, "_")
	}
	if !ok || len(id) != idLength || len(secret) != secretLength || !isLower32(id) || !isLower32(secret) {
		return "", "", fmt.Errorf(`%w: it is not of the form lk_…_…, as "service keys create" prints it`, ErrBadKey)
	}
	return idPrefix + id, secret, nil
}

func isLower32(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

// validID keeps what is no id away from the store's keys.
func validID(id string) bool {
	rest, ok := strings.CutPrefix(id, idPrefix)
	return ok && len(rest) == idLength && isLower32(rest)
}

// hashOf is what is stored of a secret: of its text, so that the last letter, which
// holds one bit, cannot be written in two ways.
func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// same compares in a time that does not depend on where they differ.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// Request asks for a new key.
type Request struct {
	Name      string
	Tenant    string // "": the default tenant
	Scope     Scope
	ExpiresAt *time.Time // nil: never
}

// check reports everything that is wrong with a request.
func (r Request) check(now time.Time) error {
	var errs []error
	if _, ok := includes[r.Scope]; !ok {
		errs = append(errs, invalid.Field("scope", "%.40q is none of predict, tune, admin, metrics", r.Scope))
	}
	if len(r.Name) > 100 || !utf8.ValidString(r.Name) || strings.ContainsFunc(r.Name, unicode.IsControl) {
		errs = append(errs, invalid.Field("name", "must be at most 100 bytes with no control characters"))
	}
	if !CheckTenant(r.Tenant) {
		errs = append(errs, invalid.Field("tenant", "%.80q is not a name: lower-case letters, digits, '.', '_' and '-', beginning with a letter or digit, 64 at most", r.Tenant))
	}
	if r.ExpiresAt != nil && !r.ExpiresAt.After(now) {
		errs = append(errs, invalid.Field("expires_at", "%s is past", r.ExpiresAt.UTC().Format(time.RFC3339)))
	}
	return errors.Join(errs...)
}

// CheckTenant reports whether a tenant may be called so; "" is the default one.
func CheckTenant(name string) bool {
	if len(name) > 64 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && (i == 0 || c != '.' && c != '_' && c != '-') {
			return false
		}
	}
	return true
}
