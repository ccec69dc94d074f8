package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lorikeet/inference/inferencetest"
)

// cluster is some machines on one switch: network namespaces, of which none is joined
// to the network that the test runs in. Redis is where the switch is.
type cluster struct {
	t      *testing.T
	prefix string // of the namespaces' names
	redis  string // its URL
	client *http.Client
	logs   map[string]*bytes.Buffer
}

const clusterNet = "10.213.77." // of no one but the namespaces

// newCluster makes the switch with a Redis, or skips the test.
func newCluster(t *testing.T) *cluster {
	for _, command := range []string{"ip", "redis-server"} {
		if _, err := exec.LookPath(command); err != nil {
			t.Skip("missing " + command)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("network namespaces take root")
	}
	c := &cluster{t: t, prefix: fmt.Sprintf("lk%d-", os.Getpid()), redis: "redis://" + clusterNet + "1:6379/0", logs: map[string]*bytes.Buffer{}}
	if out, err := exec.Command("ip", "netns", "add", c.prefix+"hub").CombinedOutput(); err != nil {
		t.Skipf("network namespaces are not to be had: %s", bytes.TrimSpace(out))
	}
	t.Cleanup(func() { c.ip("netns", "del", c.prefix+"hub") })
	for _, args := range []string{"link add br0 type bridge", "addr add " + clusterNet + "1/24 dev br0", "link set br0 up", "link set lo up"} {
		c.ip(append([]string{"-n", c.prefix + "hub"}, strings.Fields(args)...)...)
	}
	c.client = &http.Client{Timeout: 40 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(_ context.Context, network, addr string) (net.Conn, error) {
			return dialIn(c.prefix+"hub", network, addr)
		}}}
	c.start("hub", "redis-server", "--bind", clusterNet+"1", "--protected-mode", "no", "--save", "", "--dir", t.TempDir())
	return c
}

func (c *cluster) ip(args ...string) {
	c.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		c.t.Fatalf("ip %s: %s", strings.Join(args, " "), out)
	}
}

// machine adds a machine with the address clusterNet+number to the switch.
func (c *cluster) machine(name string, number int) {
	c.t.Helper()
	ns := c.prefix + name
	c.ip("netns", "add", ns)
	c.t.Cleanup(func() { c.ip("netns", "del", ns) })
	c.ip("-n", c.prefix+"hub", "link", "add", "to-"+name, "type", "veth", "peer", "name", "eth0", "netns", ns)
	c.ip("-n", c.prefix+"hub", "link", "set", "to-"+name, "master", "br0", "up")
	c.ip("-n", ns, "addr", "add", fmt.Sprintf("%s%d/24", clusterNet, number), "dev", "eth0")
	c.ip("-n", ns, "link", "set", "eth0", "up")
	c.ip("-n", ns, "link", "set", "lo", "up")
}

// cut and join take a machine's cable out and put it back in.
func (c *cluster) cut(name string)  { c.ip("-n", c.prefix+"hub", "link", "set", "to-"+name, "down") }
func (c *cluster) join(name string) { c.ip("-n", c.prefix+"hub", "link", "set", "to-"+name, "up") }

// start runs a command on a machine until the test ends.
func (c *cluster) start(machine string, command ...string) {
	c.t.Helper()
	cmd := exec.Command("ip", append([]string{"netns", "exec", c.prefix + machine}, command...)...)
	log := &bytes.Buffer{}
	c.logs[machine] = log
	cmd.Stdout, cmd.Stderr = log, log
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(45*time.Second, func() { c.t.Errorf("%s does not end", machine); _ = cmd.Process.Kill() })
		err := cmd.Wait()
		late.Stop()
		if err != nil && machine != "hub" {
			c.t.Errorf("%s ends with %v", machine, err)
		}
		if c.t.Failed() {
			c.t.Logf("%s said:\n%s", machine, log)
		}
	})
}

// dialIn connects from within a namespace. A socket stays in the namespace that it was
// made in; the thread that made it goes back.
func dialIn(ns, network, addr string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked when the way back is lost: the thread then ends with the goroutine
		conn, back, err := dialAway(ns, network, addr)
		if back == nil {
			runtime.UnlockOSThread()
		}
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

func dialAway(ns, network, addr string) (conn net.Conn, back, err error) {
	home, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = home.Close() }()
	away, err := os.Open(filepath.Join("/run/netns", ns))
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = away.Close() }()
	if err := unix.Setns(int(away.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, nil, err
	}
	defer func() { back = unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) }()
	// An address, no name: a resolver would ask on threads of its own.
	conn, err = net.DialTimeout(network, addr, 5*time.Second)
	return conn, nil, err
}

// page gets the text at a machine's URL; "" when it does not answer.
func (c *cluster) page(number, port int, path string) string {
	c.t.Helper()
	res, err := c.client.Get(fmt.Sprintf("http://%s%d:%d%s", clusterNet, number, port, path))
	if err != nil {
		return ""
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return ""
	}
	return string(b)
}

// until waits for what takes less than limit, and says how long it took.
func (c *cluster) until(limit time.Duration, ok func() bool, what string, args ...any) time.Duration {
	c.t.Helper()
	begun := time.Now()
	for !ok() {
		if time.Since(begun) > limit {
			c.t.Fatalf("after %v not yet: "+what, append([]any{limit}, args...)...)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(begun)
}

// TestAClusterOfMachines runs two APIs and three workers, each on a machine of its own.
func TestAClusterOfMachines(t *testing.T) {
	if testing.Short() {
		t.Skip("a lost worker is found out after a lease of 30 s")
	}
	c := newCluster(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	shared := []string{"--base", "tiny=" + inferencetest.BERT(t), "--redis", c.redis, "--store", t.TempDir(), "--backend", "go", "--max-batch-tokens", "256", "--log-format", "json"}
	apis := map[string]int{"api1": 11, "api2": 12}
	workers := map[string]int{"worker1": 21, "worker2": 22, "worker3": 23}
	for name, n := range apis {
		c.machine(name, n)
		c.start(name, append([]string{self, "serve", "--insecure", "--addr", fmt.Sprintf("%s%d:8080", clusterNet, n), "--data", t.TempDir()}, shared...)...)
	}
	for name, n := range workers {
		c.machine(name, n)
		c.start(name, append([]string{self, "worker", "--metrics-addr", fmt.Sprintf("%s%d:9090", clusterNet, n), "--data", t.TempDir()}, shared...)...)
	}
	api := map[string]client{}
	for name, n := range apis {
		api[name] = client{t: t, url: fmt.Sprintf("http://%s%d:8080", clusterNet, n), http: c.client}
		c.until(time.Minute, func() bool { return c.page(n, 8080, "/readyz") != "" }, "%s is ready", name)
	}
	known := func() int { return strings.Count(c.page(11, 8080, "/metrics"), "\nlorikeet_worker_slots{") }
	c.until(time.Minute, func() bool { return known() == 3 }, "three workers are known")

	// Either API takes jobs, and any worker does them.
	set := api["api1"].upload(201, "/datasets", nil, map[string][]byte{"file": rows(48)})
	spec := func(name string, hyper map[string]any) map[string]any {
		return map[string]any{"model": "tiny", "name": name, "dataset": map[string]any{"id": set["id"]}, "hyperparameters": hyper, "checkpoint_every_steps": 5}
	}
	var ids []string
	for i := range 4 {
		to := []string{"api1", "api2"}[i%2]
		ids = append(ids, api[to].call(202, "POST", "/tune/lora", spec("reviews", map[string]any{"epochs": 6, "learning_rate": 0.02, "batch_size": 8}))["id"].(string))
	}
	for i, id := range ids {
		if job := api[[]string{"api2", "api1"}[i%2]].finish(id); job["status"] != "succeeded" { // asked of the other one
			t.Fatalf("job %s ends as %v", id, job)
		}
	}
	// What was tuned is served everywhere at once.
	for name := range apis {
		took := c.until(2*time.Second, func() bool {
			a := api[name].call(200, "POST", "/predict", map[string]any{"model": "tiny", "adapter": "reviews", "inputs": "the movie was great"})
			return a["adapter"].(map[string]any)["version"] == 4.0
		}, "%s serves the newest version", name)
		t.Logf("%s serves the newest version %v after its job was over", name, took)
	}
	busy := 0
	for name, n := range workers {
		page := c.page(n, 9090, "/metrics")
		if !strings.Contains(page, "lorikeet_job_attempts_total") {
			t.Errorf("%s has no metrics", name)
		} else if !strings.Contains(page, `lorikeet_job_attempts_total{outcome="succeeded",type="lora"} 0`) {
			busy++
		}
	}
	if busy < 2 {
		t.Errorf("four jobs at once were done by %d of three workers", busy)
	}

	// A worker whose cable is out loses its job to another, who goes on from the
	// checkpoint. The job is longer than any machine needs for that.
	id := api["api1"].call(202, "POST", "/tune/lora", spec("endless", map[string]any{"max_steps": 1000000, "batch_size": 2}))["id"].(string)
	holder := func(except string) (found string) {
		for name, n := range workers {
			if name != except && strings.Contains(c.page(n, 9090, "/metrics"), fmt.Sprintf("lorikeet_train_loss{job=%q}", id)) {
				return name
			}
		}
		return ""
	}
	lost := ""
	c.until(time.Minute, func() bool { lost = holder(""); return lost != "" }, "a worker has the long job")
	checkpoint := func() float64 {
		list := api["api2"].call(200, "GET", "/tune/jobs/"+id+"/checkpoints", nil)["data"].([]any)
		best := 0.0
		for _, v := range list {
			best = max(best, v.(map[string]any)["step"].(float64))
		}
		return best
	}
	c.until(time.Minute, func() bool { return checkpoint() > 0 }, "there is a checkpoint")
	c.cut(lost)
	before := checkpoint()
	taken := ""
	took := c.until(2*time.Minute, func() bool { taken = holder(lost); return taken != "" }, "another than %s has the job", lost)
	job := api["api2"].call(200, "GET", "/tune/jobs/"+id, nil)
	if job["attempt"] != 2.0 || job["status"] != "running" {
		t.Errorf("after %s was cut off the job is %v", lost, job)
	}
	c.until(time.Minute, func() bool {
		p, _ := api["api2"].call(200, "GET", "/tune/jobs/"+id, nil)["progress"].(map[string]any)
		return p != nil && p["step"].(float64) > before
	}, "the job is beyond step %v", before)
	t.Logf("%s was cut off at step %v, %s had the job %v later", lost, before, taken, took)
	if job := api["api1"].call(200, "POST", "/tune/jobs/"+id+"/cancel", nil); job["status"] != "cancelled" {
		t.Errorf("the cancelled job is %v", job["status"])
	}
	c.join(lost)
	c.until(time.Minute, func() bool { return known() == 3 }, "%s is known again", lost)
	c.until(time.Minute, func() bool {
		return !strings.Contains(c.page(workers[lost], 9090, "/metrics"), "lorikeet_train_loss{")
	}, "%s has let go of the job", lost)
}
