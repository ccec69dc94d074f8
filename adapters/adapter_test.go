package adapters

import (
	"bytes"
	"testing"

	"lorikeet/adapters/safetensors"
)

// weightsOf writes tensors of the given shapes, each filled with ones.
func weightsOf(t *testing.T, shapes map[string][]int) *safetensors.File {
	t.Helper()
	var out []safetensors.Out
	for name, shape := range shapes {
		n := 1
		for _, d := range shape {
			n *= d
		}
		v := make([]float32, n)
		for i := range v {
			v[i] = 1
		}
		out = append(out, safetensors.Out{Name: prefix + name, DType: "F32", Shape: shape, Data: v})
	}
	var b bytes.Buffer
	if err := safetensors.Write(&b, out, nil); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Open(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// PEFT writes the biases of a module it stores whole under three names when bias is
// "all".
func TestReadTakesBiasesThatPEFTWritesTwice(t *testing.T) {
	config := []byte(`{"peft_type":"LORA","r":1,"lora_alpha":1,"target_modules":["query"],"bias":"all","modules_to_save":["classifier"],"layers_to_transform":[0]}`)
	query := "bert.encoder.layer.0.attention.self.query"
	shapes := map[string][]int{query + ".lora_A.weight": {1, 4}, query + ".lora_B.weight": {4, 1}, query + ".base_layer.bias": {4},
		"pre_classifier.weight": {4, 4}, "pre_classifier.bias": {4}, "classifier.weight": {2, 4}, "classifier.bias": {2},
		"pre_classifier.modules_to_save.bias": {4}, "classifier.modules_to_save.default.bias": {2}, "classifier.original_module.bias": {2}}
	a, err := Read(config, weightsOf(t, shapes), bert)
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Saved) != 2 || len(a.Biases) != 1 {
		t.Errorf("it stores %d layers whole and %d biases, want 2 and 1", len(a.Saved), len(a.Biases))
	}
	shapes["pooler.modules_to_save.bias"] = []int{4}
	if _, err := Read(config, weightsOf(t, shapes), bert); err == nil {
		t.Error("a bias whose module is not stored whole is taken")
	}
}
