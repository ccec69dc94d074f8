package routes

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestServeSpeaksTLSAndHTTP2(t *testing.T) {
	borrowed := httptest.NewTLSServer(nil) // for its certificate
	certificate := borrowed.TLS.Certificates[0]
	borrowed.Close()
	s := serve(t, Serving{TLS: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}}}, nil)
	roots := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(leaf)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com"}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Get("https://" + s.addr + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 200 || res.ProtoMajor != 2 {
		t.Errorf("%s %s %s, %v", res.Proto, res.Status, body, err)
	}
	// Bodies have deadlines of their own, which HTTP/2 keeps for each stream.
	up, err := (&http.Client{Transport: transport}).Post("https://"+s.addr+"/datasets", "text/csv", strings.NewReader("text,label\na,x\nb,y\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = up.Body.Close() }()
	if body, err := io.ReadAll(up.Body); err != nil || up.StatusCode != 201 || up.ProtoMajor != 2 {
		t.Errorf("%s %s %s, %v", up.Proto, up.Status, body, err)
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := limitConnections(inner, 2)
	accepted := make(chan net.Conn, 10)
	var ended sync.WaitGroup
	ended.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	})
	for range 3 {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
	}
	first, second := <-accepted, <-accepted
	select {
	case <-accepted:
		t.Fatal("a third is taken")
	case <-time.After(50 * time.Millisecond):
	}
	if _, ok := first.(interface{ CloseWrite() error }); !ok {
		t.Error("an answer to a caller who still sends would be lost")
	}
	_ = first.Close()
	_ = first.Close() // gives up one place
	third := <-accepted
	_, _ = second.Close(), third.Close()
	_ = l.Close()
	_ = l.Close()
	ended.Wait()
}
