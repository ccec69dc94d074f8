package hub

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"syscall"
	"time"
)

// ErrPrivate: the hub sent us to an address that is not of the public internet.
var ErrPrivate = errors.New("leads to a private address")

// network is the kind of network that an address belongs to.
type network int

const (
	publicNet  network = iota
	machineNet         // 127.0.0.0/8, ::1
	privateNet         // of an organisation: RFC 1918, RFC 4193, RFC 6598
	linkNet            // 169.254.0.0/16, fe80::/10: where clouds tell secrets
	specialNet         // what nobody should connect to
)

// Ranges that netip has no word for; see the IANA special-purpose registries.
var (
	shared   = netip.MustParsePrefix("100.64.0.0/10") // carrier-grade NAT
	specials = []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"),
		netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
		netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("fec0::/10"),
	}
	// IPv6 addresses that stand for the IPv4 address in them, and where it is.
	carriers = map[netip.Prefix]int{
		netip.MustParsePrefix("64:ff9b::/96"): 12, netip.MustParsePrefix("64:ff9b:1::/48"): 12, netip.MustParsePrefix("2002::/16"): 2, netip.MustParsePrefix("::/96"): 12,
	}
)

func networkOf(ip netip.Addr) network {
	ip = ip.WithZone("").Unmap()
	switch {
	case ip.IsLoopback():
		return machineNet
	case ip.IsLinkLocalUnicast(), ip.IsLinkLocalMulticast(), ip.IsInterfaceLocalMulticast():
		return linkNet
	case ip.IsPrivate(), shared.Contains(ip):
		return privateNet
	case !ip.IsValid(), ip.IsUnspecified(), ip.IsMulticast():
		return specialNet
	}
	for _, p := range specials {
		if p.Contains(ip) {
			return specialNet
		}
	}
	for p, at := range carriers {
		if p.Contains(ip) {
			b := ip.As16()
			return networkOf(netip.AddrFrom4([4]byte(b[at : at+4])))
		}
	}
	return publicNet
}

// named is what the operator called an address, which is then dialled whatever it is.
type named int

const (
	asEndpoint named = 1 + iota
	asProxy
)

// guard keeps a transport off the networks behind this machine. What users name are
// repositories, but a repository's owner, or a hub that was taken over, can redirect a
// download to anywhere: to the database next door, or to where a cloud hands out
// credentials. The address is checked as it is dialled, after names are looked up, so
// that no name can change its meaning between the check and the connection.
//
// Who runs the service may have a hub of their own in a private network: the endpoint is
// always dialled, and may send us on within networks of its kind.
type guard struct {
	dialer net.Dialer
	proxy  func(*http.Request) (*url.URL, error)

	mu      sync.Mutex
	named   map[string]named // by host:port
	allowed map[network]bool // of the endpoint's addresses
}

// Guarded is a transport for a Client of this endpoint, empty for the default, that
// dials no private, loopback or link-local address but those of the endpoint's kind.
// Where a proxy of the environment is in use, the proxy looks names up and has to guard
// them; addresses in numbers are checked here all the same.
func Guarded(endpoint string) *http.Transport {
	if endpoint == "" {
		endpoint = DefaultEndpoint
	}
	g := &guard{
		dialer: net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second},
		proxy:  http.ProxyFromEnvironment, named: map[string]named{}, allowed: map[network]bool{publicNet: true},
	}
	if u, err := url.Parse(endpoint); err == nil {
		g.named[hostPort(u)] = asEndpoint
	}
	return g.transport()
}

// Outbound is a transport for addresses that callers name: it dials none that is private
// or link-local, and loopback only with local.
func Outbound(local bool) *http.Transport {
	g := &guard{
		dialer: net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second},
		proxy:  http.ProxyFromEnvironment, named: map[string]named{}, allowed: map[network]bool{publicNet: true, machineNet: local},
	}
	return g.transport()
}

func (g *guard) transport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext, t.Proxy = g.dial, g.proxyOf
	return t
}

// hostPort is what a transport dials for an address.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// proxyOf finds the proxy for a request, and checks what it can of where that leads.
func (g *guard) proxyOf(r *http.Request) (*url.URL, error) {
	proxy, err := g.proxy(r)
	if err != nil || proxy == nil {
		return proxy, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if at := hostPort(proxy); g.named[at] == 0 {
		g.named[at] = asProxy
	}
	if ip, err := netip.ParseAddr(r.URL.Hostname()); err == nil && g.named[hostPort(r.URL)] == 0 && !g.allowed[networkOf(ip)] {
		return nil, fmt.Errorf("%w: %s", ErrPrivate, ip)
	}
	return proxy, nil
}

func (g *guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	g.mu.Lock()
	as := g.named[address]
	g.mu.Unlock()
	d := g.dialer
	d.Control = func(_, address string, _ syscall.RawConn) error { return g.check(as, address) }
	return d.DialContext(ctx, network, address)
}

// check sees the number that a name came to.
func (g *guard) check(as named, address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	kind := networkOf(at.Addr())
	switch {
	case as == asEndpoint:
		g.allowed[kind] = true
	case as == 0 && !g.allowed[kind]:
		return fmt.Errorf("%w: %s", ErrPrivate, at.Addr())
	}
	return nil
}
