package main

import (
	"os"
	"path/filepath"

	"lorikeet/adapters/safetensors"
	"lorikeet/inference/checkpoint"
)

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
	for _, t := range l.Tensors {
		tensor, err := t.Export(t.Param.Name)
		if err != nil {
			return err
		}
		out = append(out, tensor)
	}
	if err := os.WriteFile(filepath.Join(dir, "generation_config.json"), []byte(generation), 0o644); err != nil {
		return err
	}
	return checkpoint.WriteDir(filepath.Clean(dir), config, out, map[string]string{"format": "pt"})
}
