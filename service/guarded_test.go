package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAGuardedService starts the service with TLS and keys, and asks it as a client, as
// the health check and as a stranger would.
func TestAGuardedService(t *testing.T) {
	data := t.TempDir()
	cert, key := filepath.Join(data, "cert.pem"), filepath.Join(data, "key.pem")
	pair(t, cert, key, "lorikeet")
	token := adminKey(t, "--data", data)
	addr := freeAddress(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	cmd := command()
	cmd.SetArgs([]string{"serve", "--addr", addr, "--keys", "--tls-cert", cert, "--tls-key", key, "--data", data, "--backend", "go", "--log-level", "error"})
	go func() { done <- cmd.ExecuteContext(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("the service ends with %v", err)
		}
	}()
	pin, err := pinned(cert)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: pin, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	ask := func(path, token string) (status int, proto string) {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+addr+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := client.Do(req)
		if err != nil {
			return 0, err.Error()
		}
		defer func() { _ = res.Body.Close() }()
		_, _ = io.Copy(io.Discard, res.Body)
		return res.StatusCode, res.Proto
	}
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) { // it need not be ready: nobody gets in before that, either
		status, proto := ask("/livez", "")
		if status == http.StatusOK {
			if proto != "HTTP/2.0" {
				t.Errorf("speaks %s", proto)
			}
			break
		}
		select {
		case err := <-done:
			done <- err
			t.Fatalf("the service ends before it listens: %v", err)
		default:
		}
		if time.Since(begun) > time.Minute {
			t.Fatalf("it does not listen: %d %s", status, proto)
		}
	}
	for path, status := range map[string]int{"/models": 401, "/keys": 401, "/metrics": 401, "/info": 401, "/docs": 200, "/openapi.json": 200} {
		if got, what := ask(path, ""); got != status {
			t.Errorf("%s without a key: %d %s, want %d", path, got, what, status)
		}
	}
	for _, path := range []string{"/keys", "/metrics", "/tune/jobs"} {
		if got, what := ask(path, token); got != 200 {
			t.Errorf("%s with a key: %d %s", path, got, what)
		}
	}
	if out, err := run(t, "health", "--path", "/livez", "--addr", addr, "--tls-cert", cert, "--tls-key", key); err != nil || !strings.Contains(out, "ok") {
		t.Errorf("the health check: %q, %v", out, err)
	}
	// A key made on the command line opens the service that runs.
	other, err := run(t, "keys", "create", "--scope", "tune", "--data", data, "--log-level", "error")
	if err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if got, what := ask("/tune/jobs", strings.TrimSpace(other)); got == 200 {
			break
		} else if time.Since(begun) > 30*time.Second {
			t.Fatalf("a new key: %d %s", got, what)
		}
	}
}
