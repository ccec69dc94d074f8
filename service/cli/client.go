package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// client sends requests to one service.
type client struct {
	base, key string
	http      *http.Client
}

// largestAnswer bounds what is read of an answer that is not a file.
const largestAnswer = 256 << 20

func newClient(address, key, ca string) (*client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("--url %q is not an address like %s", address, standardURL)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = 10 * time.Minute // a job may be waited for, a text written
	if ca != "" {
		pem, err := os.ReadFile(ca) // #nosec G304 -- the file that the user names
		if err != nil {
			return nil, fmt.Errorf("--cacert: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--cacert %s holds no certificate", ca)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &client{strings.TrimSuffix(u.String(), "/"), key, &http.Client{Transport: transport}}, nil
}

// request is what is sent beside the key.
type request struct {
	method, path string
	query        url.Values
	kind         string // of the body
	body         io.Reader
	size         int64 // of the body; 0: not known, or none
	accept       string
	header       map[string]string
}

// send makes a request and gives an answer that the caller closes. What is refused is a
// *Problem.
func (c *client) send(ctx context.Context, r request) (*http.Response, error) {
	address := c.base + r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, r.body)
	if err != nil {
		return nil, err
	}
	if r.size > 0 {
		req.ContentLength = r.size
	}
	for name, value := range map[string]string{"Content-Type": r.kind, "Accept": r.accept} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	res, err := c.http.Do(req)
	if err != nil {
		if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
			return nil, fmt.Errorf("no service at %s: %w\nstart one with `service`, or say where it is in $%s or with --url", c.base, op, envURL)
		}
		return nil, err
	}
	if res.StatusCode < http.StatusBadRequest {
		return res, nil
	}
	defer func() { _ = res.Body.Close() }() // read only
	text, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	if err != nil {
		return nil, err
	}
	p := &Problem{}
	if err := json.Unmarshal(text, p); err != nil || p.Title == "" {
		return nil, fmt.Errorf("%s %s answers %s, not as this service does: %s", r.method, address, res.Status, clean(clip(string(text), 200)))
	}
	return nil, p
}

// text makes a request and gives its answer, whatever that is.
func (c *client) text(ctx context.Context, r request) ([]byte, error) {
	res, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }() // read only
	text, err := io.ReadAll(io.LimitReader(res.Body, largestAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s %s: the answer breaks off: %w", r.method, r.path, err)
	case len(text) > largestAnswer:
		return nil, fmt.Errorf("%s %s: the answer is larger than %d MiB", r.method, r.path, largestAnswer>>20)
	}
	return text, nil
}

// raw makes a request and gives the JSON of its answer; nil for an empty one.
func (c *client) raw(ctx context.Context, r request) (json.RawMessage, error) {
	text, err := c.text(ctx, r)
	if err != nil {
		return nil, err
	}
	if len(text) > 0 && !json.Valid(text) {
		return nil, fmt.Errorf("%s %s: the answer is not JSON; is %s this service?", r.method, r.path, c.base)
	}
	return bytes.TrimSpace(text), nil
}

// get asks and decodes the answer into v, which may be nil.
func (c *client) get(ctx context.Context, path string, query url.Values, v any) (json.RawMessage, error) {
	return c.into(ctx, request{method: http.MethodGet, path: path, query: query}, v)
}

// post sends JSON and decodes the answer into v, which may be nil.
func (c *client) post(ctx context.Context, path string, body, v any) (json.RawMessage, error) {
	r, err := jsonRequest(path, body)
	if err != nil {
		return nil, err
	}
	return c.into(ctx, r, v)
}

func jsonRequest(path string, body any) (request, error) {
	r := request{method: http.MethodPost, path: path}
	if body == nil {
		return r, nil
	}
	text, err := json.Marshal(body)
	r.kind, r.body, r.size = "application/json", bytes.NewReader(text), int64(len(text))
	return r, err
}

func (c *client) into(ctx context.Context, r request, v any) (json.RawMessage, error) {
	text, err := c.raw(ctx, r)
	if err == nil && v != nil {
		err = decode(r, text, v)
	}
	return text, err
}

func decode(r request, text json.RawMessage, v any) error {
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%s %s: %w; is this service newer than the command?", r.method, r.path, err)
	}
	return nil
}

// list is all pages of a list, up to most items; 0: all of them.
type list[T any] struct {
	Data    []T    `json:"data"`
	HasMore bool   `json:"has_more"`
	LastID  string `json:"last_id"`
}

// pages reads a list. The raw items are for --json.
func pages[T any](ctx context.Context, c *client, path string, query url.Values, most int) (items []T, raw []json.RawMessage, err error) {
	if query == nil {
		query = url.Values{}
	}
	for {
		size := 100
		if most > 0 {
			size = min(size, most-len(items))
		}
		query.Set("limit", fmt.Sprint(size))
		var p list[json.RawMessage]
		if _, err := c.get(ctx, path, query, &p); err != nil {
			return nil, nil, err
		}
		for _, text := range p.Data {
			var item T
			if err := json.Unmarshal(text, &item); err != nil {
				return nil, nil, fmt.Errorf("GET %s: %w; is this service newer than the command?", path, err)
			}
			items, raw = append(items, item), append(raw, text)
		}
		if !p.HasMore || len(p.Data) == 0 || most > 0 && len(items) >= most {
			return items, raw, nil
		}
		query.Set("after", p.LastID)
	}
}
