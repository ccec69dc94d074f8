package queue

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// aPort is free now.
func aPort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// runRedis starts a redis-server with these arguments until the test ends.
func runRedis(t *testing.T, port int, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("missing redis-server")
	}
	cmd := exec.Command(path, append(args, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())...)
	var out strings.Builder
	cmd.Stdout = &out
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for range 500 {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			_ = c.Close()
			return cmd
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("redis-server does not answer: %s", out.String())
	return nil
}

// at opens a process of the site that reaches Redis by an address.
func (s *site) at(address string) *process {
	s.t.Helper()
	rdb, err := Connect(address)
	must(s.t, err)
	s.t.Cleanup(func() { _ = rdb.Close() })
	return s.open(true, func(o *Options) { o.Redis = rdb })
}

// siteAt is a site whose processes name their Redis themselves.
func siteAt(t *testing.T) *site {
	s := &site{t: t, dir: t.TempDir(), lease: 2 * time.Second, poll: 50 * time.Millisecond, step: 20 * time.Millisecond, slack: time.Second}
	s.logs = newLogs(t)
	return s
}

// works has jobs run at an address: submitted, cancelled, paused and finished.
func works(t *testing.T, s *site, address string) {
	t.Helper()
	p := s.at(address)
	tr := s.trainer(30, 5)
	p.work(tr)
	j := p.submit("imdb")
	p.reached(j.ID, 5)
	_, err := p.Pause(t.Context(), j.ID)
	must(t, err)
	p.await(j.ID, "paused")
	other := p.submit("other")
	_, err = p.Cancel(t.Context(), other.ID)
	must(t, err)
	_, err = p.Resume(t.Context(), j.ID)
	must(t, err)
	p.proven(j.ID, tr, 2)
	if st, err := p.Stats(t.Context()); err != nil || len(st.Workers) != 1 {
		t.Errorf("stats %+v, %v", st, err)
	}
}

func TestAClusterKeepsTheQueue(t *testing.T) {
	t.Parallel()
	var nodes []string
	for i := range 3 {
		port := aPort(t)
		bus := aPort(t)
		runRedis(t, port, "--port", fmt.Sprint(port), "--cluster-enabled", "yes", "--cluster-port", fmt.Sprint(bus), "--maxmemory-policy", []string{"noeviction", "allkeys-lru", "noeviction"}[i])
		nodes = append(nodes, fmt.Sprintf("127.0.0.1:%d@%d", port, bus))
	}
	ctx := t.Context()
	const slots = 16384
	var first string
	for i, n := range nodes {
		addr, bus, _ := strings.Cut(n, "@")
		c := redis.NewClient(&redis.Options{Addr: addr, Protocol: 2})
		defer c.Close()
		must(t, c.ClusterAddSlotsRange(ctx, i*slots/3, (i+1)*slots/3-1).Err())
		if i == 0 {
			first = addr
			continue
		}
		host, port, _ := strings.Cut(addr, ":")
		f := redis.NewClient(&redis.Options{Addr: first, Protocol: 2})
		must(t, f.Do(ctx, "CLUSTER", "MEET", host, port, bus).Err())
		must(t, f.Close())
	}
	s := siteAt(t)
	for _, n := range nodes { // each knows of all
		addr, _, _ := strings.Cut(n, "@")
		c := redis.NewClient(&redis.Options{Addr: addr, Protocol: 2})
		defer c.Close()
		s.until(func() bool {
			return strings.Contains(c.ClusterInfo(ctx).Val(), "cluster_state:ok") && strings.Contains(c.ClusterInfo(ctx).Val(), "cluster_known_nodes:3")
		}, "the cluster")
	}
	works(t, s, "redis+cluster://"+first)
	s.logs.mu.Lock()
	defer s.logs.mu.Unlock()
	if n := strings.Count(s.logs.b.String(), "allkeys-lru"); n != 1 {
		t.Errorf("%d warnings of the node that evicts keys", n)
	}
}

// A failover of Redis loses what the replica had not heard; no job is.
func TestSentinelsNameTheRedisAndItsSuccessor(t *testing.T) {
	if testing.Short() {
		t.Skip("by the real clock")
	}
	t.Parallel()
	master, replica := aPort(t), aPort(t)
	cmd := runRedis(t, master, "--port", fmt.Sprint(master), "--requirepass", "secret", "--masterauth", "secret")
	runRedis(t, replica, "--port", fmt.Sprint(replica), "--requirepass", "secret", "--masterauth", "secret",
		"--replicaof", "127.0.0.1", fmt.Sprint(master), "--repl-diskless-sync-delay", "0")
	var sentinels []string
	for range 3 {
		port := aPort(t)
		conf := filepath.Join(t.TempDir(), "sentinel.conf")
		must(t, os.WriteFile(conf, fmt.Appendf(nil, "port %d\nsentinel monitor queue 127.0.0.1 %d 2\nsentinel auth-pass queue secret\n"+
			"sentinel down-after-milliseconds queue 1000\nsentinel failover-timeout queue 3000\n", port, master), 0o600))
		runRedis(t, port, conf, "--sentinel")
		sentinels = append(sentinels, fmt.Sprintf("127.0.0.1:%d", port))
	}
	s := siteAt(t)
	ctx := t.Context()
	c := redis.NewSentinelClient(&redis.Options{Addr: sentinels[0]})
	defer c.Close()
	s.until(func() bool {
		rs, err := c.Replicas(ctx, "queue").Result()
		others, err2 := c.Sentinels(ctx, "queue").Result()
		return err == nil && err2 == nil && len(rs) == 1 && rs[0]["master-link-status"] == "ok" && len(others) == 2
	}, "the sentinels to know of each other and of the replica")
	address := fmt.Sprintf("redis+sentinel://%s/0?master_name=queue&password=secret&addr=%s&addr=%s", sentinels[0], sentinels[1], sentinels[2])
	p := s.at(address)
	tr := s.trainer(200, 50)
	p.work(tr)
	running := p.submit("running")
	p.reached(running.ID, 50)
	must(t, cmd.Process.Kill())
	lost := p.submit("lost") // its place in the queue is, with the master
	want := fmt.Sprint(replica)
	s.until(func() bool {
		addr, err := c.GetMasterAddrByName(ctx, "queue").Result()
		return err == nil && len(addr) == 2 && addr[1] == want
	}, "the replica to become the master")
	j := p.await(running.ID, "succeeded")
	p.proven(running.ID, tr, j.Attempt)
	if j.Attempt > 2 {
		t.Errorf("%d attempts under one failover", j.Attempt)
	}
	p.proven(lost.ID, tr, 1)
}

func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	for name, block := range map[string]*pem.Block{"cert": {Type: "CERTIFICATE", Bytes: der}, "key": {Type: "PRIVATE KEY", Bytes: private}} {
		must(t, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600))
	}
	port := aPort(t)
	runRedis(t, port, "--port", "0", "--tls-port", fmt.Sprint(port), "--tls-auth-clients", "no", "--requirepass", "secret",
		"--tls-cert-file", filepath.Join(dir, "cert"), "--tls-key-file", filepath.Join(dir, "key"))
	address := fmt.Sprintf("rediss://:secret@127.0.0.1:%d/3", port)
	strict, err := Connect(address)
	must(t, err)
	defer strict.Close()
	if err := strict.Ping(context.Background()).Err(); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that no one vouches for: %v", err)
	}
	works(t, siteAt(t), address+"?skip_verify=true")
}
