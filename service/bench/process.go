package main

import (
	"bufio"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"lorikeet/inference/device"
)

// process is a side: a program that does what it reads, a JSON object a line, and
// answers with one.
type process struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	// Stopped between its turns: ONNX Runtime's threads wait for the next call by spinning, for
	// ever, on a core that is another side's by then.
	stopped bool
}

// settings are what every side is started with; a side reads those that concern it.
type settings struct {
	Model    string    `json:"model"`
	Threads  int       `json:"threads"`
	Backend  string    `json:"backend,omitempty"`
	Kernels  string    `json:"kernels,omitempty"`
	Scratch  string    `json:"scratch,omitempty"`
	Adapters []string  `json:"adapters,omitempty"` // PEFT folders, registered as a0, a1, …
	Slots    int       `json:"slots,omitempty"`
	Export   string    `json:"export,omitempty"` // where a peer keeps what it makes of the model
	LoRA     bool      `json:"lora"`
	BF16     bool      `json:"bfloat16"`
	IDs      [][]int32 `json:"ids,omitempty"`
	Texts    []string  `json:"texts,omitempty"`
}

// started runs a program of the benchmark on no more cores than the other side has.
func (b *bench) started(name string, args ...string) (*exec.Cmd, error) {
	if b.threads < runtime.NumCPU() {
		if _, err := exec.LookPath("taskset"); err != nil {
			return nil, errors.New("--threads below the number of cores needs the command taskset")
		}
		args = append([]string{"-c", fmt.Sprintf("0-%d", b.threads-1), name}, args...)
		name = "taskset"
	}
	cmd := exec.CommandContext(b.ctx, name, args...)
	cmd.Stderr = &tail{}
	cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(b.threads), "OMP_NUM_THREADS="+strconv.Itoa(b.threads))
	return cmd, nil
}

// open starts a side and waits until it has its model.
func (b *bench) open(name string, cmd *exec.Cmd) (*process, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: cmd, in: in, out: bufio.NewReaderSize(out, 1<<20)}
	var hello struct{ Versions string }
	if err := p.read(&hello); err != nil {
		p.close()
		return nil, err
	}
	b.report.Machine.Versions[name] = hello.Versions
	return p, nil
}

// open is the backend of one of our sides.
func (s settings) open(ctx context.Context) (*device.Device, error) {
	o := device.FromEnv(os.Getenv)
	o.Kernels = s.Kernels
	return device.Open(ctx, s.Backend, o)
}

// ours starts this program again as one of our sides.
func (b *bench) ours(kind string, s settings) (*process, error) {
	s.Threads, s.Kernels = b.threads, b.kernels
	if s.Backend == "" {
		s.Backend = b.backend
	}
	var err error
	if s.Scratch, err = os.MkdirTemp(b.scratch, "ours-"); err != nil {
		return nil, err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	cmd, err := b.started(b.file, "child", kind, string(text))
	if err != nil {
		return nil, err
	}
	if kind == "train" { // as a worker's attempts have it
		cmd.Env = device.Environ(cmd.Env)
	}
	name := oursName
	if s.BF16 {
		name = halfName
	}
	if s.Backend == "go" {
		name = goName
	}
	return b.open(name, cmd)
}

//go:embed peers
var peerFiles embed.FS

// peer starts one of the Python sides; nil without peers.
func (b *bench) peer(kind string, s settings) (*process, error) {
	if b.noPeers {
		return nil, nil
	}
	python, err := b.interpreter()
	if err != nil {
		return nil, err
	}
	s.Threads = b.threads
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	script, err := b.peerFile("peer.py")
	if err != nil {
		return nil, err
	}
	cmd, err := b.started(python, script, kind, string(text))
	if err != nil {
		return nil, err
	}
	p, err := b.open("peer "+kind, cmd)
	if err == nil {
		p.stopped = true
		err = p.signal(syscall.SIGSTOP)
	}
	return p, err
}

// signal stops a process that is stopped between its turns, or has it go on.
func (p *process) signal(s syscall.Signal) error {
	if !p.stopped {
		return nil
	}
	return p.cmd.Process.Signal(s)
}

// peerFile unpacks a file of the peers.
func (b *bench) peerFile(name string) (string, error) {
	text, err := peerFiles.ReadFile("peers/" + name)
	if err != nil {
		return "", err
	}
	path := filepath.Join(b.scratch, name)
	return path, os.WriteFile(path, text, 0o755)
}

// ask has the side do something.
func (p *process) ask(request, answer any) error {
	line, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if err := p.signal(syscall.SIGCONT); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("%s: %w%s", p.name, err, p.said())
	}
	return errors.Join(p.read(answer), p.signal(syscall.SIGSTOP))
}

func (p *process) read(answer any) error {
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("%s ended: %w%s", p.name, err, p.said())
	}
	var failed struct{ Error string }
	if err := json.Unmarshal(line, &failed); err != nil {
		return fmt.Errorf("%s: %w in %q", p.name, err, line)
	}
	if failed.Error != "" {
		return fmt.Errorf("%s: %s", p.name, failed.Error)
	}
	return json.Unmarshal(line, answer)
}

// close ends the side: it stops when there is nothing more to read.
func (p *process) close() {
	if p == nil {
		return
	}
	_ = p.signal(syscall.SIGCONT) // one that has ended cannot
	_ = p.in.Close()
	ended := make(chan struct{})
	go func() {
		_ = p.cmd.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-ended
	}
}

// statusMiB reads one of the sizes that Linux keeps of a process; 0 elsewhere.
func statusMiB(pid int, field string) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			var kB float64
			if _, err := fmt.Sscanf(strings.TrimSpace(value), "%f kB", &kB); err == nil {
				return kB / 1024
			}
		}
	}
	return 0
}

// tail keeps the end of what a program prints on its standard error.
type tail struct{ text []byte }

func (t *tail) Write(b []byte) (int, error) {
	t.text = append(t.text, b...)
	t.text = t.text[max(0, len(t.text)-4000):]
	return len(b), nil
}

// said is what the program printed before it ended.
func (p *process) said() string {
	_ = p.in.Close()
	_ = p.cmd.Wait() // its standard error is complete then
	if t, ok := p.cmd.Stderr.(*tail); ok && len(t.text) > 0 {
		return "\n" + string(t.text)
	}
	return ""
}

// built compiles a command of this module into the cache.
func (o *options) built(ctx context.Context, command string) (string, error) {
	file := filepath.Join(o.cache, "bin", filepath.Base(command))
	out, err := exec.CommandContext(ctx, "go", "build", "-o", file, command).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", command, err, out)
	}
	return file, nil
}
