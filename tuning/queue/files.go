package queue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"lorikeet/adapters/store"
	"lorikeet/tuning"
)

// prepare makes the attempt's folder and puts the rows and the newest good checkpoint
// into it.
func (a *attempt) prepare() (tuning.Task, error) {
	t := tuning.Task{Job: a.s.id, Attempt: a.n, Spec: a.s.spec.Spec, CreatedAt: a.s.spec.CreatedAt, Trace: a.s.spec.Trace, Dir: filepath.Join(a.dir, "work")}
	if err := os.MkdirAll(t.Dir, 0o750); err != nil {
		return t, fmt.Errorf("scratch folder: %w", err)
	}
	a.report.Phase("downloading")
	for _, in := range []struct {
		digest, name string
		path         *string
	}{
		{a.s.spec.Inputs.Train, "train.jsonl", &t.Train},
		{a.s.spec.Inputs.Validation, "validation.jsonl", &t.Validation},
	} {
		if in.digest == "" {
			continue
		}
		*in.path = filepath.Join(a.dir, in.name)
		if err := a.q.download(a.ctx, in.digest, *in.path); err != nil {
			return t, fmt.Errorf("rows: %w", err)
		}
	}
	step, folder, err := a.resume()
	if err != nil {
		return t, err
	}
	t.Resume = folder
	a.report.startFrom(step, folder != "")
	if a.w.o.Prepare != nil {
		if err := a.w.o.Prepare(a.ctx, &t); err != nil {
			return t, err
		}
	}
	return t, nil
}

// resume fetches the newest checkpoint whose bytes are what its manifest says; an
// empty folder means from the start.
func (a *attempt) resume() (step int, folder string, err error) {
	for _, at := range a.s.checkpoints {
		folder := filepath.Join(a.dir, "resume-"+at.String())
		err := a.q.fetchCheckpoint(a.ctx, a.s.id, at, folder)
		if err == nil {
			return at.step, folder, nil
		}
		if !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrNotFound) {
			return 0, "", fmt.Errorf("checkpoint at step %d: %w", at.step, err)
		}
		a.log.Error("checkpoint is damaged; the one before is taken", "step", at.step, "error", err)
		if err := os.RemoveAll(folder); err != nil {
			return 0, "", err
		}
	}
	return 0, "", nil
}

func (q *Queue) fetchCheckpoint(ctx context.Context, id string, at taken, folder string) error {
	m, err := read[manifest](ctx, q, checkpointKey(id, at))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	for name, f := range m.Files {
		if !plainName(name) {
			return fmt.Errorf("%w: file name %q", store.ErrCorrupt, clip(name))
		}
		if err := q.download(ctx, f.Digest, filepath.Join(folder, name)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// download copies a blob to a file and verifies it.
func (q *Queue) download(ctx context.Context, digest, path string) error {
	f, err := os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = q.store.Fetch(ctx, digest, f)
	return errors.Join(err, f.Close())
}

// upload stores files, name to local path, as blobs.
func (q *Queue) upload(ctx context.Context, files map[string]string) (map[string]File, error) {
	stored := make(map[string]File, len(files))
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !plainName(name) {
			return nil, fmt.Errorf("%q is no name for a file", clip(name))
		}
		f, err := os.Open(files[name])
		if err != nil {
			return nil, fmt.Errorf("upload %s: %w", name, err)
		}
		digest, size, err := q.store.PutBlob(ctx, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("upload %s: %w", name, err)
		}
		stored[name] = File{Digest: digest, Size: size}
	}
	return stored, nil
}

// plainName keeps file names within their folder on every system.
func plainName(name string) bool {
	return fs.ValidPath(name) && name != "." && !strings.ContainsAny(name, `/\:`) && len(name) <= 255
}

// Checkpoint is a point that a job can go on from.
type Checkpoint struct {
	Step      int                `json:"step"`
	Attempt   int                `json:"attempt"`
	Best      bool               `json:"best"` // by the evaluation at this step
	Bytes     int64              `json:"bytes"`
	Files     map[string]File    `json:"files"`
	Progress  *tuning.Progress   `json:"progress,omitempty"`
	Metrics   map[string]float64 `json:"metrics,omitempty"`
	CreatedAt time.Time          `json:"created_at"`
}

// Checkpoints lists the checkpoints that are kept of a job, newest first: the last
// two, and the last that an evaluation called the best. The bytes of those of a job
// that is over may be gone.
func (q *Queue) Checkpoints(ctx context.Context, id string) ([]Checkpoint, error) {
	s, err := q.load(ctx, id)
	if err != nil {
		return nil, err
	}
	list := []Checkpoint{}
	for _, at := range s.checkpoints {
		m, err := read[manifest](ctx, q, checkpointKey(id, at))
		if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrCorrupt) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("job %s: checkpoints: %w", id, err)
		}
		list = append(list, Checkpoint{
			Step: m.Step, Attempt: m.Attempt, Best: m.Best, Bytes: m.bytes(), Files: m.Files,
			Progress: m.Progress, Metrics: m.Metrics, CreatedAt: m.At,
		})
	}
	return list, nil
}

func (m manifest) bytes() (n int64) {
	for _, f := range m.Files {
		n += f.Size
	}
	return n
}

// kept is how many of the newest checkpoints stay: one to go on from, and one before
// it in case that one rots.
const kept = 2

// prune deletes the manifests of checkpoints that are no longer of use. Their bytes
// go with Collect, which knows what else may name them.
func (q *Queue) prune(ctx context.Context, s *state) error {
	best := false
	for i, at := range s.checkpoints {
		if i < kept && best {
			continue
		}
		m, err := read[manifest](ctx, q, checkpointKey(s.id, at))
		if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrCorrupt) {
			return err
		}
		isBest := err == nil && m.Best && !best
		best = best || isBest
		if i >= kept && !isBest {
			if err := q.store.Delete(ctx, checkpointKey(s.id, at)); err != nil {
				return err
			}
		}
	}
	return nil
}
