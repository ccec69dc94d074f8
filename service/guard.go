package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"lorikeet/routes"
	"lorikeet/routes/access"
)

// loopback reports whether only programs of this machine reach the address. A name
// other than localhost may mean anything by the time it is looked up.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// needsKeys reports whether requests must carry a key.
func (c *config) needsKeys() bool { return c.keys || !c.insecure && !loopback(c.addr) }

// checkGuard reports what is wrong with the settings that keep others out.
func (c *config) checkGuard() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.keys && c.insecure {
		bad("--keys and --insecure contradict each other: give one of them")
	}
	if !(c.rate >= 0 && c.rate <= 1e6) { // NaN too
		bad("--rate must be between 0 (no limit) and 1000000, is %g", c.rate)
	}
	if c.jobsPerTenant < 0 {
		bad("--jobs-per-tenant must be at least 0 (no limit), is %d", c.jobsPerTenant)
	}
	if c.given != nil && !c.needsKeys() {
		for flag, on := range map[string]bool{"rate": c.rate != 0, "jobs-per-tenant": c.jobsPerTenant != 0} {
			if c.given(flag) && on {
				bad("--%s bounds what the holder of a key may do, and no keys are required here: add --keys, or leave it out", flag)
			}
		}
	}
	if (c.tlsCert == "") != (c.tlsKey == "") {
		bad("--tls-cert and --tls-key go together: give both")
	}
	for _, origin := range c.origins {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || origin != u.Scheme+"://"+strings.ToLower(u.Host) {
			bad(`--cors-origin %q is not an origin, as "https://app.example"; "*" is not taken: name the pages`, origin)
		}
	}
	return errors.Join(errs...)
}

// checkObserved reports what is wrong with the settings of the operators' ports, and of
// a worker that ends by itself.
func (c *config) checkObserved() error {
	var errs []error
	if c.debugAddr != "" && !loopback(c.debugAddr) {
		errs = append(errs, fmt.Errorf("--debug-addr %s can be reached from other machines, and profiles show what is in memory: listen on 127.0.0.1, and reach it through ssh or kubectl port-forward", c.debugAddr))
	}
	if c.metricsAddr != "" && c.metricsAddr == c.addr {
		errs = append(errs, fmt.Errorf("--metrics-addr %s is --addr, which has /metrics anyway", c.metricsAddr))
	}
	if c.jobs < 0 || c.idle < 0 {
		errs = append(errs, errors.New("--jobs and --idle must be at least 0"))
	}
	return errors.Join(errs...)
}

// access opens the keys, and refuses to be reachable from elsewhere without any.
func (c *config) access(ctx context.Context, s access.Store) (routes.Access, error) {
	ring, err := access.Open(ctx, s)
	if err != nil {
		return routes.Access{}, err
	}
	a := routes.Access{Keys: ring, Required: c.needsKeys(), Local: loopback(c.addr) && !c.insecure, Rate: c.rate, Origins: c.origins}
	if !a.Required {
		return a, nil
	}
	keys, err := ring.List(ctx)
	if err != nil {
		return a, err
	}
	for _, k := range keys {
		if k.Active(time.Now()) {
			return a, nil
		}
	}
	why := fmt.Sprintf("--addr %s can be reached from other machines", c.addr)
	if c.keys {
		why = "--keys is given"
	}
	return a, fmt.Errorf(`%s, and there is no API key yet. Make one:
  service keys create --name me --scope admin --store %s
or listen on this machine alone (--addr 127.0.0.1:8080), or take requests of everyone without a key (--insecure), as behind a proxy that asks who they are`, why, c.storeFolder())
}

// tls is nil for plain HTTP.
func (c *config) tls(p *parts) (*certificate, *tls.Config, error) {
	if c.tlsCert == "" {
		if c.needsKeys() && !loopback(c.addr) {
			p.log.Warn("keys and texts travel in plain sight: give --tls-cert and --tls-key, or put a proxy that speaks TLS in front")
		}
		return nil, nil, nil
	}
	cert, err := openCertificate(c.tlsCert, c.tlsKey, p.log)
	if err != nil {
		return nil, nil, err
	}
	return cert, cert.config(), nil
}
