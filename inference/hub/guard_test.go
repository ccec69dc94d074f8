package hub

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestNetworksAreTold(t *testing.T) {
	for ip, want := range map[string]network{
		"1.1.1.1": publicNet, "2606:4700::1111": publicNet, "172.32.0.1": publicNet, "100.128.0.1": publicNet, "64:ff9b::101:101": publicNet,
		"127.0.0.1": machineNet, "127.255.0.1": machineNet, "::1": machineNet, "::ffff:127.0.0.1": machineNet, "64:ff9b::7f00:1": machineNet, "2002:7f00:1::": machineNet,
		"10.1.2.3": privateNet, "172.16.0.1": privateNet, "192.168.1.1": privateNet, "100.64.0.1": privateNet, "fd00::1": privateNet, "::ffff:10.0.0.1": privateNet, "::10.0.0.1": privateNet,
		"169.254.169.254": linkNet, "fe80::1": linkNet, "fe80::1%eth0": linkNet, "::ffff:169.254.169.254": linkNet, "64:ff9b::a9fe:a9fe": linkNet,
		"0.0.0.0": specialNet, "::": specialNet, "0.1.2.3": specialNet, "224.0.0.1": linkNet, "239.1.1.1": specialNet, "255.255.255.255": specialNet, "240.0.0.1": specialNet, "ff0e::1": specialNet, "192.0.2.1": specialNet,
	} {
		if got := networkOf(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s is of network %d, want %d", ip, got, want)
		}
	}
}

// redirecting is a hub on loopback that sends everyone to an address.
func redirecting(t *testing.T, to string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }))
	t.Cleanup(s.Close)
	return s
}

// fetch asks a hub for a repository through a guard.
func fetch(t *testing.T, g *guard, endpoint string) error {
	t.Helper()
	c := Client{Endpoint: endpoint, CacheDir: t.TempDir(), HTTP: &http.Client{Transport: g.transport()}, Attempts: 3,
		sleep: func(context.Context, time.Duration) error { t.Error("a refused address is tried again"); return nil }}
	ref, err := Parse("hf:owner/name")
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = c.Fetch(t.Context(), ref, ModelFiles)
	return err
}

func newGuard(endpoint string) *guard {
	g := &guard{proxy: func(*http.Request) (*url.URL, error) { return nil, nil }, named: map[string]named{}, allowed: map[network]bool{publicNet: true}}
	u, _ := url.Parse(endpoint)
	g.named[hostPort(u)] = asEndpoint
	return g
}

func TestRedirectsIntoOurNetworksAreRefused(t *testing.T) {
	asked := make(chan string, 10)
	inside := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path }))
	defer inside.Close()
	_, port, err := net.SplitHostPort(inside.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{inside.URL + "/secret", "http://localhost:" + port + "/secret", "http://[::ffff:127.0.0.1]:" + port + "/secret", "http://0.0.0.0:" + port + "/secret",
		"http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "http://[fe80::1]/", "http://2130706433:" + port + "/secret"} {
		s := redirecting(t, to)
		g := newGuard(s.URL)
		// The endpoint is on loopback in a test; it is taken for a public one.
		real := g.dialer
		transport := g.transport()
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == s.Listener.Addr().String() {
				return real.DialContext(ctx, network, address)
			}
			return g.dial(ctx, network, address)
		}
		c := Client{Endpoint: s.URL, CacheDir: t.TempDir(), HTTP: &http.Client{Transport: transport}, Attempts: 2,
			sleep: func(context.Context, time.Duration) error { return nil }}
		_, _, err := c.Fetch(t.Context(), Ref{Owner: "owner", Name: "name"}, ModelFiles)
		if !errors.Is(err, ErrPrivate) && !strings.HasPrefix(to, "http://2130706433") { // a number that is no address is a name that is none
			t.Errorf("%s: %v", to, err)
		}
	}
	select {
	case path := <-asked:
		t.Errorf("what is inside was asked for %s", path)
	default:
	}
}

func TestAPrivateHubMayRedirectWithinItsNetwork(t *testing.T) {
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }))
	defer storage.Close()
	s := redirecting(t, storage.URL)
	if err := fetch(t, newGuard(s.URL), s.URL); !errors.Is(err, ErrNotFound) {
		t.Errorf("to storage beside it: %v", err)
	}
	s = redirecting(t, "http://169.254.169.254/latest/meta-data/")
	if err := fetch(t, newGuard(s.URL), s.URL); !errors.Is(err, ErrPrivate) {
		t.Errorf("to where clouds tell secrets: %v", err)
	}
}

func TestAProxyIsDialledAndOpensNothingElse(t *testing.T) {
	var through []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		through = append(through, r.URL.String())
		http.Redirect(w, r, "http://127.0.0.1:1/inside", http.StatusFound)
	}))
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	g := newGuard("http://hub.example")
	g.proxy = func(*http.Request) (*url.URL, error) { return at, nil }
	if err := fetch(t, g, "http://hub.example"); !errors.Is(err, ErrPrivate) {
		t.Errorf("a redirect through the proxy: %v", err)
	}
	if len(through) != 1 || !strings.HasPrefix(through[0], "http://hub.example/") {
		t.Errorf("the proxy was asked for %q", through)
	}
	if g.allowed[machineNet] {
		t.Error("the proxy's network is open to all")
	}
}

func TestNoNameChangesTheHost(t *testing.T) {
	c := Client{Endpoint: "https://hub.example/mirror"}
	for _, s := range []string{"hf:evil.example/x", "hf://evil.example/x", "hf:a@b/c", "hf:owner/name@evil.example", "hf:..%2f/x", "hf:owner/..", "hf:owner/name@../../x",
		"hf:owner\\x/y", "hf:@evil.example/x", "hf:owner/name?x=y", "hf:owner/name#x", "hf:owner:80/name", "hf:[::1]/x", "hf:owner/name@refs/pr/1"} {
		ref, err := Parse(s)
		if err != nil {
			continue
		}
		u, err := c.fileURL(ref, "main", "config.json")
		if err != nil {
			t.Errorf("%s: %v", s, err)
		} else if u.Scheme != "https" || u.Host != "hub.example" || u.User != nil || !strings.HasPrefix(u.EscapedPath(), "/mirror/") || u.RawQuery != "" || strings.Contains(u.Path, "..") {
			t.Errorf("%s leads to %s", s, u)
		}
	}
}

func TestOutboundStaysOutside(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	for local, want := range map[bool]bool{true: true, false: false} {
		client := &http.Client{Transport: Outbound(local)}
		res, err := client.Get(server.URL)
		if err == nil {
			_ = res.Body.Close()
		}
		if (err == nil) != want || err != nil && !errors.Is(err, ErrPrivate) {
			t.Errorf("local %v: loopback is %v", local, err)
		}
		for _, address := range []string{"http://10.0.0.1:1", "http://169.254.169.254", "http://[fe80::1]", "http://0.0.0.0:1", "http://[::ffff:192.168.0.1]"} {
			if _, err := client.Get(address); !errors.Is(err, ErrPrivate) { //nolint:bodyclose // no answer
				t.Errorf("local %v: %s: %v", local, address, err)
			}
		}
	}
}
