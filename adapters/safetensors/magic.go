package safetensors

import (
	"bytes"
	"strings"
)

// convert is what to run where PyTorch is, for files that only PyTorch should open.
const convert = `convert it where you trust it: python -c "import torch; from safetensors.torch import save_file; ` +
	`save_file({k: v.clone().contiguous() for k, v in torch.load('pytorch_model.bin', map_location='cpu', weights_only=True).items()}, ` +
	`'model.safetensors', metadata={'format': 'pt'})"`

// others are the files that people hand over instead of safetensors, by how they
// begin. Pickles come first: opening one runs the code inside it.
var others = []struct{ magic, reason string }{
	{"PK\x03\x04", "this is a zip archive, as PyTorch's .bin and .pt files are; they hold pickle, which can run code and is refused; " + convert},
	{"\x80\x02", pickle}, {"\x80\x03", pickle}, {"\x80\x04", pickle}, {"\x80\x05", pickle},
	{"GGUF", "this is a GGUF file (llama.cpp), not safetensors"},
	{"\x89HDF\r\n\x1a\n", "this is an HDF5 file (Keras, TensorFlow), not safetensors"},
	{"\x93NUMPY", "this is a NumPy array, not safetensors"},
	{"\x1f\x8b", "this is a gzip file: unpack it first"},
	{"version https://git-lfs", "this is a Git LFS pointer, not the file it points to: run `git lfs pull`"},
	{"<!DOCTYPE", page}, {"<!doctype", page}, {"<html", page},
}

const (
	pickle = "this is a Python pickle, which can run code and is refused; " + convert
	page   = "this is a web page, not safetensors: download the file itself, not its page"
)

// lookalike says what a file that is not safetensors seems to be, or "". It is
// asked only once the file is known to be wrong: 0x80 0x02 is also how the
// length of a 640 byte header begins.
func lookalike(head []byte) string {
	for _, o := range others {
		if bytes.HasPrefix(head, []byte(o.magic)) {
			return o.reason
		}
	}
	if strings.HasPrefix(strings.TrimLeft(string(head), " \t\r\n"), "{") {
		return "the file begins with JSON: a safetensors file begins with the 8 byte length of its header"
	}
	return ""
}
