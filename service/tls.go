package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// certificate is a pair of files that is read again when they change. A pair that does
// not fit, as while one file is written and the other is not yet, leaves the old one in
// use until it does.
type certificate struct {
	cert, key string
	log       *slog.Logger

	mu     sync.Mutex
	pair   *tls.Certificate
	seen   string    // of which files pair was read, or failed to be
	looked time.Time // when they were last looked at
	said   string    // the last complaint, not to be repeated every second
}

// lookEvery is how often the files are looked at, at most, and only when somebody
// connects.
const lookEvery = time.Second

func openCertificate(cert, key string, log *slog.Logger) (*certificate, error) {
	c := &certificate{cert: cert, key: key, log: log}
	return c, c.load()
}

// stamp tells one state of the files from another. Kubernetes swaps a link, which Stat
// follows; an editor writes in place.
func (c *certificate) stamp() (string, error) {
	stamp := ""
	for _, path := range []string{c.cert, c.key} {
		info, err := os.Stat(path)
		if err != nil {
			return "", err
		}
		stamp += fmt.Sprintf("%d %d\n", info.Size(), info.ModTime().UnixNano())
	}
	return stamp, nil
}

// load reads the files. mu is held, or nobody else has c yet.
func (c *certificate) load() error {
	stamp, err := c.stamp()
	if err == nil {
		var pair tls.Certificate
		if pair, err = tls.LoadX509KeyPair(c.cert, c.key); err == nil {
			c.pair = &pair
		}
	}
	c.seen, c.looked = stamp, time.Now()
	if err != nil {
		return fmt.Errorf("--tls-cert, --tls-key: %w", err)
	}
	return nil
}

// get is the current pair; see [tls.Config.GetCertificate].
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) >= lookEvery {
		c.looked = time.Now()
		if stamp, err := c.stamp(); err != nil || stamp != c.seen {
			c.renew()
		}
	}
	return c.pair, nil
}

// renew reads the files again and keeps the old pair when they cannot be used. mu is
// held.
func (c *certificate) renew() {
	err := c.load()
	switch {
	case err == nil:
		c.said = ""
		c.log.Info("certificate read again", "cert", c.cert)
	case err.Error() != c.said:
		c.said = err.Error()
		c.log.Error("certificate not read again; the old one stays in use", "error", err)
	}
}

// obey reads the files again at each SIGHUP, until ctx ends.
func (c *certificate) obey(ctx context.Context) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
			c.mu.Lock()
			c.renew()
			c.mu.Unlock()
		}
	}
}

// config is for a server. HTTP/2 is offered by net/http.
func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}

// pinned is for a client on this machine that asks the service by an address the
// certificate need not name: it accepts the very certificate in the file and no other.
func pinned(cert string) (*tls.Config, error) {
	text, err := os.ReadFile(cert) //nolint:gosec // the operator names it
	if err != nil {
		return nil, fmt.Errorf("--tls-cert: %w", err)
	}
	leaf, _ := pem.Decode(text)
	if leaf == nil {
		return nil, fmt.Errorf("--tls-cert: %s is not PEM", cert)
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // #nosec G402 -- VerifyConnection compares the certificate itself, which is stricter
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 || !bytes.Equal(s.PeerCertificates[0].Raw, leaf.Bytes) {
				return errors.New("the service shows another certificate than the one in --tls-cert")
			}
			return nil
		},
	}, nil
}
