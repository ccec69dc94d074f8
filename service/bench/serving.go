package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// server is a process that answers over HTTP.
type server struct {
	name string
	url  string
	cmd  *exec.Cmd
	body func(text string) any
	wait float64 // seconds from the start of the process to ready

	ended chan struct{} // closed when the process is over
}

// serving measures the service as its users have it: a process of its own, asked over
// HTTP, beside a server of FastAPI and transformers with the same model.
func serving(ctx context.Context, b *bench) error {
	names := []string{"start to ready, cold", "start to ready, warm", "memory"}
	for _, l := range loads {
		names = append(names, l.name+", requests", l.name+", median", l.name+", 99th percentile")
	}
	if !b.wants("http", names...) {
		return nil
	}
	dir, t, err := b.tokenized(ctx, pick(b.options, "quick-bert", "minilm"))
	if err != nil {
		return err
	}
	texts, _, err := sample(t, 5, size{64, 32})
	if err != nil {
		return err
	}
	var mixed []string
	for length := 8; length <= pick(b.options, 32, 128); length += 8 {
		some, _, err := sample(t, uint64(length), size{8, length})
		if err != nil {
			return err
		}
		mixed = append(mixed, some...)
	}
	randomOf(6).Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	binary, err := b.built(ctx, "lorikeet/service")
	if err != nil {
		return err
	}
	var starts []func(context.Context) (*server, error)
	starts = append(starts, func(ctx context.Context) (*server, error) { return b.lorikeet(ctx, binary, dir, oursName) },
		func(ctx context.Context) (*server, error) { return b.lorikeet(ctx, binary, dir, halfName) })
	if !b.noPeers {
		starts = append(starts, func(ctx context.Context) (*server, error) { return b.fastAPI(ctx, dir) })
	}
	servers, err := b.startUps(ctx, starts)
	defer func() {
		for _, s := range servers {
			s.stop()
		}
	}()
	if err != nil {
		return err
	}
	for _, l := range loads {
		asked := texts
		if l.mixed {
			asked = mixed
		}
		if err := b.load(servers, l.name, l.clients, asked); err != nil {
			return err
		}
	}
	memory := testCase{Group: "http", Name: "memory", Unit: "MiB"}
	for _, s := range servers {
		memory.Sides = append(memory.Sides, side{Name: s.name, Values: []float64{statusMiB(s.cmd.Process.Pid, "VmRSS")}})
	}
	b.report.add(memory)
	return nil
}

// startUps starts every server twice and leaves it running. What the first start keeps
// for later ones is what makes the second warm: compiled graphs, the files in memory.
func (b *bench) startUps(ctx context.Context, starts []func(context.Context) (*server, error)) (servers []*server, err error) {
	cold := testCase{Group: "http", Name: "start to ready, cold", Unit: "s"}
	warm := testCase{Group: "http", Name: "start to ready, warm", Unit: "s"}
	for _, start := range starts {
		first, err := start(ctx)
		if err != nil {
			return servers, err
		}
		first.stop()
		cold.Sides = append(cold.Sides, side{Name: first.name, Values: []float64{first.wait}})
		var waits []float64
		var last *server
		for i := range min(b.rounds, 3) {
			if i > 0 {
				last.stop()
			}
			if last, err = start(ctx); err != nil {
				return servers, err
			}
			waits = append(waits, last.wait)
		}
		servers = append(servers, last)
		warm.Sides = append(warm.Sides, side{Name: last.name, Values: waits})
	}
	b.report.add(cold)
	b.report.add(warm)
	return servers, nil
}

// loads are what clients ask: texts of 32 tokens, or of 8 to 128.
var loads = []struct {
	name    string
	clients int
	mixed   bool
}{{"1 client", 1, false}, {"16 clients", 16, false}, {"16 clients, 8 to 128 tokens", 16, true}}

// load has clients ask the servers in turn.
func (b *bench) load(servers []*server, who string, clients int, texts []string) error {
	rate := testCase{Group: "http", Name: who + ", requests", Unit: "requests/s", More: true}
	middle := testCase{Group: "http", Name: who + ", median", Unit: "ms", Sides: make([]side, len(servers))}
	slow := testCase{Group: "http", Name: who + ", 99th percentile", Unit: "ms", Sides: make([]side, len(servers))}
	if !b.wants("http", rate.Name) {
		return nil
	}
	var players []player
	rounds := make([][]reply, len(servers))
	for i, s := range servers {
		middle.Sides[i].Name, slow.Sides[i].Name = s.name, s.name
		players = append(players, player{name: s.name, round: func() (float64, error) {
			r, err := s.traffic(clients, pick(b.options, 200*time.Millisecond, 3*time.Second), texts)
			rounds[i] = append(rounds[i], r)
			return r.PerSec, err
		}})
	}
	// Ours compile tighter graphs beside their first requests: one more turn for that.
	for i := range players {
		if players[i].name != fastAPI {
			players[i].settle = func() error { _, err := players[i].round(); return err }
		}
	}
	if err := b.play(rate, players); err != nil {
		return err
	}
	played := b.report.Cases[len(b.report.Cases)-1]
	middle.Others, slow.Others = played.Others, played.Others
	for i, side := range played.Sides {
		for _, r := range rounds[i] {
			if slices.Contains(side.Values, r.PerSec) { // else one that did not count
				middle.Sides[i].Values = append(middle.Sides[i].Values, r.P50)
				slow.Sides[i].Values = append(slow.Sides[i].Values, r.P99)
			}
		}
	}
	b.report.add(middle)
	b.report.add(slow)
	return nil
}

func (s *server) traffic(clients int, span time.Duration, texts []string) (reply, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, Timeout: time.Minute}
	return traffic(clients, span, func(n int) (func() error, error) {
		bodies := make([][]byte, len(texts))
		for i, t := range texts {
			var err error
			if bodies[i], err = json.Marshal(s.body(t)); err != nil {
				return nil, err
			}
		}
		i := n
		return func() error {
			i++
			return post(&client, s.url+"/predict", bodies[i%len(bodies)])
		}, nil
	})
}

func post(client *http.Client, url string, body []byte) error {
	res, err := client.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(res.Body)
	err = errors.Join(err, res.Body.Close())
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("POST %s: status %d: %s", url, res.StatusCode, answer)
	}
	return err
}

// lorikeet starts the service: the API alone, a bare base, everything else as it is
// unless told otherwise. Its data folder is kept from one start to the next.
func (b *bench) lorikeet(ctx context.Context, binary, model, name string) (*server, error) {
	data := filepath.Join(b.scratch, "data-"+name)
	return b.start(ctx, name, func(text string) any { return object{"model": "bench", "inputs": []string{text}} },
		binary, func(port int) []string {
			args := []string{"serve", "--base", "bench=" + model, "--backend", b.backend, "--kernels", b.kernels, "--data", data, "--addr", fmt.Sprintf("127.0.0.1:%d", port)}
			if name == halfName {
				args = append(args, "--bf16", "bench")
			}
			return args
		})
}

func (b *bench) fastAPI(ctx context.Context, model string) (*server, error) {
	python, err := b.interpreter()
	if err != nil {
		return nil, err
	}
	script, err := b.peerFile("server.py")
	if err != nil {
		return nil, err
	}
	return b.start(ctx, fastAPI, func(text string) any { return object{"inputs": []string{text}} },
		python, func(port int) []string {
			return []string{script, model, fmt.Sprint(port), fmt.Sprint(b.threads)}
		})
}

// start runs a server and waits until it is ready.
func (b *bench) start(ctx context.Context, name string, body func(string) any, program string, args func(port int) []string) (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		return nil, err
	}
	cmd, err := b.started(program, args(port)...)
	if err != nil {
		return nil, err
	}
	s := &server{name: name, url: fmt.Sprintf("http://127.0.0.1:%d", port), cmd: cmd, body: body}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s.ended = make(chan struct{})
	var failed error
	go func() {
		failed = cmd.Wait()
		close(s.ended)
	}()
	for {
		res, err := http.Get(s.url + "/readyz")
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				s.wait = time.Since(begin).Seconds()
				return s, nil
			}
		}
		select {
		case <-s.ended:
			return nil, fmt.Errorf("%s ended: %w\n%s", name, failed, cmd.Stderr.(*tail).text)
		case <-ctx.Done():
			_ = cmd.Process.Kill()
			return nil, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
		if time.Since(begin) > 5*time.Minute {
			_ = cmd.Process.Kill()
			return nil, fmt.Errorf("%s is not ready after five minutes", name)
		}
	}
}

// stop ends the server and waits for it.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(os.Interrupt)
	select {
	case <-s.ended:
	case <-time.After(15 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
}
