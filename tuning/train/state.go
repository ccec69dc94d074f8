package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"lorikeet/adapters/safetensors"
	"lorikeet/inference/nn"
)

// A checkpoint is everything the rest of the run depends on: the learned values, the
// optimizer's moments, the best values so far, and the place in the run. The order of
// the rows and the dropout follow from the seed and the place (see data.go), so a run
// that resumes goes on bit for bit as if it had not stopped.
const (
	placeFile  = "place.json"
	valuesFile = "values.safetensors"
	bestFile   = "best.safetensors"
)

// checkpoint writes one and hands it over.
func (a *attempt) checkpoint(ctx context.Context) error {
	dir, err := os.MkdirTemp(a.task.Dir, fmt.Sprintf("checkpoint-%d-", a.place.Step))
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	files, err := a.write(dir)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if err := a.report.Checkpoint(ctx, a.place.Step, files); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	a.saved = time.Now()
	return os.RemoveAll(dir)
}

func (a *attempt) write(dir string) (map[string]string, error) {
	place, err := json.Marshal(a.place)
	if err != nil {
		return nil, err
	}
	files := map[string]string{placeFile: filepath.Join(dir, placeFile), valuesFile: filepath.Join(dir, valuesFile)}
	if err := os.WriteFile(files[placeFile], place, 0o600); err != nil {
		return nil, err
	}
	var out []safetensors.Out
	for i, t := range a.loop.learned {
		for kind, b := range map[string]func() ([]float32, error){
			"value:": func() ([]float32, error) { return a.loop.value(i) },
			"m:":     func() ([]float32, error) { return nn.Download(t.m) },
			"v:":     func() ([]float32, error) { return nn.Download(t.v) },
		} {
			v, err := b()
			if err != nil {
				return nil, err
			}
			out = append(out, safetensors.Out{Name: kind + t.param.Name, DType: "F32", Shape: t.param.Shape.Dimensions, Data: v})
		}
	}
	if err := writeTensors(files[valuesFile], out, nil); err != nil {
		return nil, err
	}
	if a.best != nil {
		var best []safetensors.Out
		for i, t := range a.loop.learned {
			best = append(best, safetensors.Out{Name: t.param.Name, DType: "F32", Shape: t.param.Shape.Dimensions, Data: a.best[i]})
		}
		files[bestFile] = filepath.Join(dir, bestFile)
		if err := writeTensors(files[bestFile], best, nil); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func writeTensors(path string, out []safetensors.Out, meta map[string]string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // the attempt's own folder
	if err != nil {
		return err
	}
	return errors.Join(safetensors.Write(f, out, meta), f.Close())
}

// resume goes back to the checkpoint the task names, if it names one.
func (a *attempt) resume() error {
	if a.task.Resume == "" {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(a.task.Resume, placeFile))
	if err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	if err := json.Unmarshal(b, &a.place); err != nil {
		return fmt.Errorf("resume: %s: %w", placeFile, err)
	}
	values, err := a.read(valuesFile, "value:", "m:", "v:")
	if err != nil {
		return err
	}
	if err := a.loop.restore(values[0], values[1], values[2]); err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	a.loop.step = a.place.Step
	if a.place.Best != nil {
		best, err := a.read(bestFile, "")
		if err != nil {
			return err
		}
		a.best = best[0]
	}
	return nil
}

// read gives what a checkpoint file holds under each prefix, in the order of learned.
func (a *attempt) read(name string, prefixes ...string) (all [][][]float32, err error) {
	f, err := os.Open(filepath.Join(a.task.Resume, name)) // #nosec G304 -- the attempt's own folder
	if err != nil {
		return nil, fmt.Errorf("resume: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	file, err := safetensors.Open(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("resume: %s: %w", name, err)
	}
	for _, prefix := range prefixes {
		var values [][]float32
		for _, t := range a.loop.learned {
			v, err := file.Float32s(prefix + t.param.Name)
			if err != nil {
				return nil, fmt.Errorf("resume: %s: %w", name, err)
			}
			if len(v) != t.param.Shape.Size() {
				return nil, fmt.Errorf("resume: %s: %s has %d values, not %d", name, t.param.Name, len(v), t.param.Shape.Size())
			}
			values = append(values, v)
		}
		all = append(all, values)
	}
	return all, nil
}
