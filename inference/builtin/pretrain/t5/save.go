package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gomlx/compute"

	"lorikeet/adapters/safetensors"
	"lorikeet/inference"
	"lorikeet/inference/checkpoint"
	"lorikeet/inference/nn"
)

// save writes everything that learns, so that the run can go on.
func (l *learner) save(file string, seconds float64) error {
	var out []safetensors.Out
	for _, t := range l.learned {
		for kind, b := range map[string]compute.Buffer{"value": t.value, "m": t.m, "v": t.v} {
			v, err := nn.Download(b)
			if err != nil {
				return err
			}
			out = append(out, safetensors.Out{Name: kind + ":" + t.param.Name, DType: "F32", Shape: t.param.Shape.Dimensions, Data: v})
		}
	}
	slices.SortFunc(out, func(a, b safetensors.Out) int { return strings.Compare(a.Name, b.Name) })
	f, err := os.Create(file + ".part")
	if err != nil {
		return err
	}
	err = safetensors.Write(f, out, map[string]string{"step": strconv.Itoa(l.step), "seconds": strconv.FormatFloat(seconds, 'f', 1, 64)})
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(file+".part", file)
}

// load goes on from a saved run; false where there is none.
func (l *learner) load(file string) (seconds float64, found bool, err error) {
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, false, err
	}
	s, err := safetensors.Open(f, size)
	if err != nil {
		return 0, false, err
	}
	for i := range l.learned {
		t := &l.learned[i]
		for kind, to := range map[string]*compute.Buffer{"value": &t.value, "m": &t.m, "v": &t.v} {
			v, err := s.Float32s(kind + ":" + t.param.Name)
			if err != nil {
				return 0, false, err
			}
			b, err := nn.Upload(l.backend, v, t.param.Shape.Dimensions...)
			if err != nil {
				return 0, false, err
			}
			if err := (*to).Finalize(); err != nil {
				return 0, false, err
			}
			*to = b
		}
	}
	if l.step, err = strconv.Atoi(s.Metadata()["step"]); err != nil {
		return 0, false, err
	}
	seconds, err = strconv.ParseFloat(s.Metadata()["seconds"], 64)
	return seconds, true, err
}

// generation is generation_config.json.
const generation = `{
  "decoder_start_token_id": 0,
  "eos_token_id": 1,
  "max_new_tokens": 32,
  "pad_token_id": 0
}
`

// export writes the model as a Hugging Face folder, in bfloat16.
func (l *learner) export(dir string) error {
	config, err := l.config()
	if err != nil {
		return err
	}
	var out []safetensors.Out
	for _, t := range l.learned {
		v, err := nn.Download(t.value)
		if err != nil {
			return err
		}
		dims := t.param.CheckpointDims()
		if t.param.Transposed {
			v = inference.Transpose(v, dims[1], dims[0])
		}
		out = append(out, safetensors.Out{Name: t.param.Name, DType: "BF16", Shape: dims, Data: v})
	}
	if err := os.WriteFile(filepath.Join(dir, "generation_config.json"), []byte(generation), 0o644); err != nil {
		return err
	}
	return checkpoint.WriteDir(filepath.Clean(dir), config, out, map[string]string{"format": "pt"})
}
