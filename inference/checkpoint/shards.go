package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"lorikeet/adapters/invalid"
)

// shown is how many tensors of one shard are named where they are missing.
const shown = 5

// openShards opens the files that the index lists, and compares what they hold
// with what the index says.
func (m *Model) openShards(fsys fs.FS) error {
	raw, err := readLimited(fsys, IndexFile, maxIndex)
	if err != nil {
		return err
	}
	index, err := parseIndex(raw)
	if err != nil {
		return err
	}
	listed := map[string][]string{} // the tensors of each file
	for _, name := range slices.Sorted(maps.Keys(index)) {
		listed[index[name]] = append(listed[index[name]], name)
	}
	var errs []error
	for _, file := range slices.Sorted(maps.Keys(listed)) {
		f, err := m.openFile(fsys, file)
		if errors.Is(err, fs.ErrNotExist) {
			err = invalid.Field(file, "the shard is missing; %s has %d tensors in it. Download the whole repository", IndexFile, len(listed[file]))
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		var absent, unlisted []string
		for _, name := range listed[file] {
			if _, ok := f.Info(name); !ok {
				absent = append(absent, name)
			}
			m.where[name] = f
		}
		for _, name := range f.Names() {
			if index[name] != file {
				unlisted = append(unlisted, name)
			}
		}
		if len(absent) > 0 {
			errs = append(errs, invalid.Field(file, "%s has tensors in this shard that it does not hold: %s", IndexFile, some(absent)))
		}
		if len(unlisted) > 0 {
			errs = append(errs, invalid.Field(file, "the shard holds tensors that %s does not have in it: %s", IndexFile, some(unlisted)))
		}
	}
	return errors.Join(errs...)
}

// some names the first few.
func some(names []string) string {
	quoted := make([]string, min(len(names), shown))
	for i := range quoted {
		quoted[i] = fmt.Sprintf("%.120q", names[i])
	}
	text := strings.Join(quoted, ", ")
	if len(names) > shown {
		text += fmt.Sprintf(" and %d more", len(names)-shown)
	}
	return text
}

// parseIndex reads {"metadata":{…},"weight_map":{tensor: file, …}} into a map from
// tensor to file. A tensor that is there twice is an error, which is why this
// reads token by token: encoding/json would take the last.
func parseIndex(raw []byte) (map[string]string, error) {
	if !utf8.Valid(raw) || !json.Valid(raw) {
		return nil, invalid.Field(IndexFile, "the file is not JSON")
	}
	// The JSON is valid, so that from here on no token is an error.
	dec := json.NewDecoder(bytes.NewReader(raw))
	if tok, _ := dec.Token(); tok != json.Delim('{') {
		return nil, invalid.Field(IndexFile, "the file does not hold a JSON object")
	}
	var index map[string]string
	for dec.More() {
		if key, _ := dec.Token(); key != "weight_map" {
			var other json.RawMessage // metadata.total_size is a number in some files, a string in others
			_ = dec.Decode(&other)
			continue
		}
		if index != nil {
			return nil, invalid.Field(IndexFile, "weight_map is there twice")
		}
		var err error
		if index, err = parseWeightMap(dec); err != nil {
			return nil, err
		}
	}
	if len(index) == 0 {
		return nil, invalid.Field(IndexFile, "weight_map is missing or empty")
	}
	return index, nil
}

// parseWeightMap reads the object after "weight_map" of JSON known to be valid.
func parseWeightMap(dec *json.Decoder) (map[string]string, error) {
	if tok, _ := dec.Token(); tok != json.Delim('{') {
		return nil, invalid.Field(IndexFile, "weight_map is not an object")
	}
	index := map[string]string{}
	var errs []error
	add := func(format string, args ...any) {
		if len(errs) < 20 { // more would not be read
			errs = append(errs, invalid.Field(IndexFile, "weight_map: "+format, args...))
		}
	}
	checked := map[string]bool{}
	for dec.More() {
		key, _ := dec.Token()
		name, _ := key.(string)
		value, _ := dec.Token()
		file, ok := value.(string)
		if !ok {
			add("the file of %.120q is not a string", name)
			break // it may be an object of any size
		}
		if _, twice := index[name]; twice {
			add("%.120q is there twice", name)
		}
		index[name] = file
		if !checked[file] {
			checked[file] = true
			if why := badShard(file); why != "" {
				add("%.120q: %s", file, why)
			}
		}
	}
	_, _ = dec.Token() // }
	return index, errors.Join(errs...)
}

// badShard says why a name from the index is not that of a shard, or "".
// fs.ValidPath keeps out "..", absolute paths and empty elements.
func badShard(file string) string {
	switch {
	case !fs.ValidPath(file) || strings.ContainsAny(file, `\:`) || file == ".":
		return "the name leads out of the folder, or is no file name"
	case path.Ext(file) != ".safetensors":
		return "not a .safetensors file; pickled weights are refused"
	}
	return ""
}

// noWeights says what is in the folder instead of weights that can be read, and
// what to do about it.
func noWeights(fsys fs.FS) error {
	const want = "there is no " + WeightsFile + " and no " + IndexFile
	if exists(fsys, "pytorch_model.bin") || exists(fsys, "pytorch_model.bin.index.json") {
		return invalid.Field(WeightsFile, want+`; pytorch_model.bin is a Python pickle, which can run code and is refused. `+
			`Convert it where you trust it, in the model's folder: python -c "import glob, torch; from safetensors.torch import save_file; `+
			`save_file({k: v.clone().contiguous() for f in sorted(glob.glob('pytorch_model*.bin')) for k, v in torch.load(f, map_location='cpu', weights_only=True).items()}, `+
			`'model.safetensors', metadata={'format': 'pt'})"`)
	}
	for _, other := range []struct{ pattern, what string }{
		{"*.gguf", "GGUF weights (llama.cpp), which are not read"},
		{"*.h5", "TensorFlow weights, which are not read"},
		{"*.msgpack", "Flax weights, which are not read"},
		{"*.onnx", "an ONNX graph, which is not read"},
		{"adapter_model.*", "a LoRA adapter, to be served on top of a base model"},
		{"model*.safetensors", "shards, but not the index that lists them: download the whole repository"},
		{"*.safetensors", "safetensors of another name"},
		{"*.bin", "a .bin file, most likely a Python pickle, which is refused"},
	} {
		if found, err := fs.Glob(fsys, other.pattern); err == nil && len(found) > 0 {
			return invalid.Field(WeightsFile, "%s; %s holds %s", want, found[0], other.what)
		}
	}
	return invalid.Field(WeightsFile, want)
}
