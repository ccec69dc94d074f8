package train

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"lorikeet/adapters"
	"lorikeet/adapters/safetensors"
	"lorikeet/inference"
	"lorikeet/inference/nn"
	"lorikeet/tuning"
)

// finish goes back to the best values, writes the files to register and sums up.
func (a *attempt) finish(ctx context.Context) (tuning.Outcome, error) {
	out := tuning.Outcome{Metrics: maps.Clone(a.place.Base), Labels: a.target.labels, Template: a.taught, Steps: a.place.Step}
	if out.Metrics == nil {
		out.Metrics = map[string]float64{}
	}
	scores := a.place.Metrics
	if a.best != nil {
		if err := a.loop.restore(a.best, nil, nil); err != nil {
			return out, err
		}
		scores = a.place.BestResult
		out.Metrics["best_step"] = float64(a.place.BestStep)
	}
	maps.Copy(out.Metrics, scores)
	out.Metrics["train_loss"] = a.place.LossSum / float64(max(1, a.place.Step))
	out.Metrics["train_samples"], out.Metrics["eval_samples"] = float64(len(a.train)), float64(len(a.held)) // as in transformers' own scripts
	out.Metrics["train_runtime_seconds"] = a.worked.Seconds()
	calibration, err := a.calibrate(ctx, out.Metrics)
	if err != nil {
		return out, err
	}
	if out.Files, err = a.recipe.export(a); err != nil {
		return out, err
	}
	if calibration != nil {
		path := a.path(adapters.CalibrationFile)
		out.Files[adapters.CalibrationFile] = path
		if err := os.WriteFile(path, calibration.Marshal(), 0o600); err != nil {
			return out, err
		}
	}
	if err := a.smoke(out.Files); err != nil {
		return out, err
	}
	out.Gate, err = a.gate(ctx, scores, out.Metrics)
	return out, err
}

// exportAdapter writes the folder that PEFT reads.
func (a *attempt) exportAdapter() (map[string]string, error) {
	made := &adapters.Adapter{Config: a.config, Factors: map[string]adapters.Factors{}, Saved: map[string]adapters.Dense{},
		Meta: adapters.Meta{BaseDigest: a.base.Digest, Labels: a.target.labels, Problem: string(a.target.problem), Template: a.taught}}
	for i, t := range a.loop.learned {
		v, err := a.loop.value(i)
		if err != nil {
			return nil, err
		}
		put(made, a.ranks, t.param, v)
	}
	files := map[string]string{adapters.ConfigFile: a.path(adapters.ConfigFile), adapters.WeightsFile: a.path(adapters.WeightsFile)}
	tensors, meta := made.Tensors()
	return files, errors.Join(
		os.WriteFile(files[adapters.ConfigFile], a.config.Marshal(), 0o600),
		writeTensors(files[adapters.WeightsFile], tensors, meta))
}

// put files one learned value under its module, in PEFT's layout.
func put(a *adapters.Adapter, plan adapters.Plan, p nn.Param, v []float32) {
	i := strings.LastIndexByte(p.Name, '.')
	path, what := p.Name[:i], p.Name[i+1:]
	dims := p.Shape.Dimensions
	f, d := a.Factors[path], a.Saved[path]
	switch what {
	case "lora_A": // device [in, r]
		f.In, f.Rank, f.Scale = dims[0], dims[1], plan.Ranks[path].Scale
		f.A = inference.Transpose(v, f.In, f.Rank)
		a.Factors[path] = f
	case "lora_B": // device [r, out]
		f.Out = dims[1]
		f.B = inference.Transpose(v, dims[0], f.Out)
		a.Factors[path] = f
	case "weight": // device [in, out]
		d.In, d.Out = dims[0], dims[1]
		d.Weight = inference.Transpose(v, d.In, d.Out)
		a.Saved[path] = d
	case "bias":
		d.Bias = v
		a.Saved[path] = d
	}
}

// exportFull writes a Hugging Face folder: configuration with the run's labels, every
// weight, and the base's tokenizer.
func (a *attempt) exportFull() (map[string]string, error) {
	var out []safetensors.Out
	for i, t := range a.loop.learned {
		v, err := a.loop.value(i)
		if err != nil {
			return nil, err
		}
		if t.param.Transposed {
			v = inference.Transpose(v, t.param.Shape.Dim(0), t.param.Shape.Dim(1))
		}
		out = append(out, safetensors.Out{Name: t.param.Name, DType: "F32", Shape: t.param.CheckpointDims(), Data: v})
	}
	fixed, err := a.fixed()
	if err != nil {
		return nil, err
	}
	out = append(out, fixed...)
	config, err := a.base.Configuration(a.target.labels, a.target.problem)
	if err != nil {
		return nil, err
	}
	files := map[string]string{"config.json": a.path("config.json"), "model.safetensors": a.path("model.safetensors")}
	err = errors.Join(os.WriteFile(files["config.json"], config, 0o600),
		writeTensors(files["model.safetensors"], out, map[string]string{"format": "pt"}))
	if err != nil {
		return nil, err
	}
	for _, name := range append([]string{inference.GenerationFile}, inference.TokenizerFiles...) {
		b, err := fs.ReadFile(a.base.Folder(), name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files[name] = a.path(name)
		if err := os.WriteFile(files[name], b, 0o600); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// fixed are the tensors of the base that a full fine-tune leaves as they are.
func (a *attempt) fixed() ([]safetensors.Out, error) {
	if a.base.Seq2Seq == nil {
		return nil, nil
	}
	var out []safetensors.Out
	for _, w := range a.base.Weights() {
		if !slices.Contains(a.base.Seq2Seq.Facts().Fixed, w.Name) {
			continue
		}
		v, err := a.base.Tensor(w.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, safetensors.Out{Name: w.Name, DType: "F32", Shape: w.CheckpointDims(), Data: v})
	}
	return out, nil
}
