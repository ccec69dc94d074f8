package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pair writes a new certificate for 127.0.0.1 and its key.
func pair(t *testing.T, cert, key, name string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
}

// shown is the name in the certificate that a server shows.
func shown(t *testing.T, addr string, config *tls.Config) (string, error) {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, config)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func TestCertificatesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pair(t, cert, key, "first")
	var log bytes.Buffer
	c, err := openCertificate(cert, key, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", c.config())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	defer func() { _ = l.Close(); <-done }()
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).HandshakeContext(t.Context())
			_ = conn.Close()
		}
	}()
	expect := func(want string) {
		t.Helper()
		c.mu.Lock()
		c.looked = time.Time{} // a second has passed
		c.mu.Unlock()
		if got, err := shown(t, l.Addr().String(), &tls.Config{InsecureSkipVerify: true}); err != nil || got != want {
			t.Errorf("shows %q, want %q: %v", got, want, err)
		}
	}
	expect("first")
	old, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	pair(t, cert, key, "second")
	renewed, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, old, 0o600); err != nil { // the certificate is there, its key not yet
		t.Fatal(err)
	}
	expect("first")
	expect("first")
	if n := strings.Count(log.String(), "not read again"); n != 1 {
		t.Errorf("said %d times:\n%s", n, &log)
	}
	if err := errors.Join(os.Remove(key), os.WriteFile(key+".new", renewed, 0o600)); err != nil {
		t.Fatal(err)
	}
	expect("first") // no key at all
	if err := os.Rename(key+".new", key); err != nil {
		t.Fatal(err)
	}
	expect("second")

	t.Run("and nothing older than TLS 1.2 is spoken", func(t *testing.T) {
		_, err := shown(t, l.Addr().String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10})
		if err == nil {
			t.Error("TLS 1.1 is spoken")
		}
	})
	t.Run("and the health check takes no other", func(t *testing.T) {
		pin, err := pinned(cert)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := shown(t, l.Addr().String(), pin); err != nil {
			t.Error(err)
		}
		other := filepath.Join(dir, "other.pem")
		pair(t, other, filepath.Join(dir, "other.key"), "other")
		if pin, err = pinned(other); err != nil {
			t.Fatal(err)
		}
		if _, err := shown(t, l.Addr().String(), pin); err == nil || !strings.Contains(err.Error(), "another certificate") {
			t.Errorf("%v", err)
		}
	})
}
