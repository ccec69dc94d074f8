package hub

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

const (
	maxRedirects = 10
	maxBackoff   = 30 * time.Second
	// maxRetryAfter is the longest that a server's Retry-After is obeyed; whoever
	// started the download should know of a longer one.
	maxRetryAfter = 10 * time.Minute
	// headTimeout bounds requests with small answers.
	headTimeout = 30 * time.Second
)

// transient marks an error that may go away. after is what the server asked for.
type transient struct {
	err   error
	after time.Duration
}

func (t *transient) Error() string   { return t.err.Error() }
func (t *transient) Unwrap() []error { return []error{ErrUnavailable, t.err} }

// retry calls try until it succeeds, fails for good, or has failed for attempts
// times in a row. try reports whether it got any further, which counts as a new
// beginning.
func (c *Client) retry(ctx context.Context, what string, attempts int, try func() (progress bool, err error)) error {
	for failed := 0; ; {
		progress, err := try()
		if ctx.Err() != nil && err != nil {
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		}
		var t *transient
		if !errors.As(err, &t) {
			return err
		}
		if progress {
			failed = 0
		}
		failed++
		if failed >= attempts {
			return fmt.Errorf("%s: %w (gave up after try %d; check the network, or set HF_ENDPOINT to a mirror)", what, err, failed)
		}
		if t.after > maxRetryAfter {
			return fmt.Errorf("%s: %w; it asks to wait for %v", what, err, t.after)
		}
		wait := max(t.after, c.backoff(failed))
		c.log().Warn("hub: trying again", "what", what, "error", err, "failures", failed, "wait", wait)
		if err := c.wait(ctx, wait); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

func (c *Client) attempts() int {
	if c.Attempts > 0 {
		return c.Attempts
	}
	return 5
}

// backoff doubles with each failure, give or take a quarter so that many machines
// started at once do not come back at once.
func (c *Client) backoff(failed int) time.Duration {
	first := c.Backoff
	if first <= 0 {
		first = time.Second
	}
	d := min(first<<min(failed-1, 16), max(maxBackoff, first))
	return d*3/4 + rand.N(d/2+1) // #nosec G404 -- a wait, not a secret
}

// url joins path elements to the endpoint; each element is escaped, slashes in it too.
func (c *Client) url(elements ...string) (*url.URL, error) {
	endpoint := c.Endpoint
	if endpoint == "" {
		endpoint = DefaultEndpoint
	}
	for _, e := range elements {
		endpoint = strings.TrimRight(endpoint, "/") + "/" + url.PathEscape(e)
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, fmt.Errorf("HF_ENDPOINT is not an http or https address: %q", c.Endpoint)
	}
	return u, nil
}

// fileURL is the address of a file at a commit.
func (c *Client) fileURL(r Ref, commit, file string) (*url.URL, error) {
	var path []string
	if r.Dataset {
		path = append(path, "datasets")
	}
	path = append(path, strings.Split(r.id(), "/")...)
	path = append(path, "resolve", commit)
	return c.url(append(path, strings.Split(file, "/")...)...)
}

// do sends a request and follows its redirects, calling hop with every answer;
// hop may end the journey at a redirect by returning true. The token is sent while
// the journey stays at the endpoint's origin, and never again once it has left:
// redirects lead to storage with signed addresses, which is not to know it.
// (net/http would send it on to another port of the same host.)
// The caller closes the body.
func (c *Client) do(ctx context.Context, method string, u *url.URL, header http.Header, hop func(resp *http.Response, leaving bool) (stop bool)) (resp *http.Response, left bool, err error) {
	client := http.Client{}
	if c.HTTP != nil {
		client = *c.HTTP
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for range maxRedirects {
		req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
		if err != nil {
			return nil, left, fmt.Errorf("%s: %w", host(u), bare(err))
		}
		for k, v := range header {
			req.Header[k] = v
		}
		req.Header.Set("User-Agent", "lorikeet; go/"+strings.TrimPrefix(runtime.Version(), "go"))
		if c.Token != "" && !left {
			req.Header.Set("Authorization", "Bearer "+c.Token)
		}
		resp, err := client.Do(req)
		if err != nil {
			err = fmt.Errorf("%s: %w", host(u), bare(err))
			var certificate *tls.CertificateVerificationError
			if errors.As(err, &certificate) || errors.Is(err, ErrPrivate) {
				return nil, left, err
			}
			return nil, left, &transient{err: err}
		}
		location := resp.Header.Get("Location")
		redirect := location != "" && resp.StatusCode >= 300 && resp.StatusCode < 400 && resp.StatusCode != http.StatusNotModified
		if !redirect {
			if hop != nil {
				hop(resp, false)
			}
			return resp, left, nil
		}
		next, err := u.Parse(location)
		if err == nil && (next.Hostname() == "" || (next.Scheme != "https" && next.Scheme != "http") || (u.Scheme == "https" && next.Scheme == "http")) {
			err = errors.New("not an address to follow")
		}
		if err != nil {
			_ = resp.Body.Close()
			return nil, left, fmt.Errorf("%s: redirects to %.100q: %w", host(u), withoutQuery(location), bare(err))
		}
		leaving := origin(next) != origin(u)
		if hop != nil && hop(resp, leaving) {
			return resp, left, nil
		}
		drain(resp.Body)
		left = left || leaving
		u = next
	}
	return nil, left, fmt.Errorf("%s: more than %d redirects", host(u), maxRedirects)
}

// status is the error of an answer that is not a success. It closes the body.
func (c *Client) status(resp *http.Response, left bool) error {
	defer resp.Body.Close()
	code, message := resp.Header.Get("X-Error-Code"), resp.Header.Get("X-Error-Message")
	if message == "" {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		var body struct{ Error string }
		if json.Unmarshal(b, &body) == nil {
			message = body.Error
		}
	}
	said := fmt.Sprintf("%s answered %s", host(resp.Request.URL), resp.Status)
	if message != "" {
		said += fmt.Sprintf(" (%.300s)", strings.Join(strings.Fields(message), " "))
	}
	login := "make a token at https://huggingface.co/settings/tokens and set HF_TOKEN"
	if c.Token != "" {
		login = "the token that was sent (HF_TOKEN, or the token file) is not valid there or lacks the right to read it"
	}
	switch s := resp.StatusCode; {
	case code == "GatedRepo":
		return fmt.Errorf("%w: %s: accept its licence on its page of the hub, then %s", ErrGated, said, login)
	case code == "RepoNotFound":
		// The hub says this with 401, too, so as not to tell what is private.
		return fmt.Errorf("%w: %s: there is no such repository (check its spelling), or it is private: then %s", ErrNotFound, said, login)
	case code == "RevisionNotFound":
		return fmt.Errorf("%w: %s: the repository has no such branch, tag or commit", ErrNotFound, said)
	case code == "EntryNotFound", s == http.StatusNotFound, s == http.StatusGone:
		return fmt.Errorf("%w: %s", ErrNotFound, said)
	case s == http.StatusForbidden && left:
		// A signed address that has run out; the next try asks the hub for another.
		return &transient{err: errors.New(said)}
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		return fmt.Errorf("%w: %s: %s", ErrUnauthorized, said, login)
	case s == http.StatusTooManyRequests, s == http.StatusRequestTimeout, s >= 500:
		return &transient{err: errors.New(said), after: retryAfter(resp.Header, time.Now())}
	}
	return errors.New(said)
}

// rateReset is the seconds until a limit that is used up is lifted, in the header
// RateLimit: "api";r=0;t=55 of draft-ietf-httpapi-ratelimit-headers.
var rateReset = regexp.MustCompile(`;\s*r=0\s*;\s*t=(\d{1,6})`)

// retryAfter is how long the server asks to be left alone, in either of
// Retry-After's two forms or as RateLimit.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.Atoi(v); err == nil && n >= 0 && n < 1e6 {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(at.Sub(now), 0)
	}
	if m := rateReset.FindStringSubmatch(h.Get("RateLimit")); m != nil {
		n, _ := strconv.Atoi(m[1])
		return time.Duration(n+1) * time.Second // t is rounded down
	}
	return 0
}

// bare drops the address from an error of net/http: signed addresses are secrets.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func withoutQuery(s string) string {
	s, _, _ = strings.Cut(s, "?")
	return s
}

// host is how an address is told to people.
func host(u *url.URL) string { return u.Scheme + "://" + u.Host + u.Path }

func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// drain reads the little that redirects carry, so that the connection is kept.
func drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 64<<10)
	_ = body.Close()
}
