package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"time"
)

var errSilent = errors.New("no answer")

// installRelease takes go-xla's own build of the CPU plugin. The release names no hash:
// what vouches for it is the connection's TLS.
func installRelease(ctx context.Context, opt Options, p patience) (Plugin, error) {
	have, err := opt.place(ctx, opt.from.releaseDir(), "", func(ctx context.Context, stage string) error {
		from, err := opt.releaseURL(ctx, p.answer)
		if err != nil {
			return err
		}
		archive := filepath.Join(stage, "release"+archiveExt(from))
		if err := download(ctx, from, archive, opt.meter("go-xla's PJRT plugin "+opt.from.releaseVersion, 0), p.bytes); err != nil {
			return err
		}
		var file string
		match := func(name string) bool {
			m := pluginName.MatchString(path.Base(name))
			if m {
				file = filepath.Join(stage, cpuFile+path.Ext(name))
			}
			return m
		}
		tmp := filepath.Join(stage, "plugin")
		if _, err := extract(archive, match, tmp); err != nil {
			return err
		}
		return errors.Join(os.Rename(tmp, file), os.Remove(archive))
	})
	if err != nil {
		return Plugin{}, fmt.Errorf("go-xla's release: %w", err)
	}
	return have, nil
}

// releaseURL asks for the release's address, for as long as d. go-xla's installer takes
// no context: a question without an answer is left to its own time limits.
func (o Options) releaseURL(ctx context.Context, d time.Duration) (string, error) {
	type answer struct {
		from string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		from, err := guard(func() (string, error) {
			return o.from.release(runtime.GOOS+"_"+runtime.GOARCH, o.from.releaseVersion)
		})
		got <- answer{from, err}
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, d, fmt.Errorf("%w in %s", errSilent, d))
	defer cancel()
	select {
	case a := <-got:
		var unreached *url.Error
		if errors.As(a.err, &unreached) {
			return "", fmt.Errorf("cannot be reached: %w", unreached.Err)
		}
		return a.from, a.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

func archiveExt(from string) string {
	if path.Ext(from) == ".zip" {
		return ".zip"
	}
	return ".tar.gz"
}

// download writes what lies at the address from to file. It gives up when no bytes come for silence.
func download(ctx context.Context, from, file string, m *meter, silence time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alarm := time.AfterFunc(silence, func() { cancel(fmt.Errorf("%w in %s", errSilent, silence)) })
	defer alarm.Stop()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return fmt.Errorf("download: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("download: %w", cmpCause(ctx, err))
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("download %s: %s", from, resp.Status)
	}
	m.total = resp.ContentLength
	out, err := os.Create(file) // #nosec G304 -- of the installation under way
	if err != nil {
		return fmt.Errorf("download: %w", err)
	}
	n, err := io.Copy(out, &watched{r: resp.Body, seen: func(n int64) {
		alarm.Reset(silence)
		m.set(n)
	}})
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("download %s: %w", from, cmpCause(ctx, err))
	}
	if resp.ContentLength >= 0 && n != resp.ContentLength {
		return fmt.Errorf("download %s: %d bytes of %d", from, n, resp.ContentLength)
	}
	m.finish()
	return nil
}

// cmpCause is why ctx ended, if it did, else err.
func cmpCause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// watched tells after each read how many bytes there were so far.
type watched struct {
	r    io.Reader
	n    int64
	seen func(int64)
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.n += int64(n)
	w.seen(w.n)
	return n, err
}
