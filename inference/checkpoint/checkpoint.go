// Package checkpoint opens a model folder as Hugging Face lays it out: a
// config.json and its weights as safetensors, in one file (model.safetensors) or
// in several that model.safetensors.index.json lists.
//
// How the weights are cut into files is of no interest to anyone above: a Model
// is a configuration and a set of named tensors, and its Digest is the same
// however they were sharded.
//
// A folder comes from a stranger. What is wrong with it comes back as
// invalid.Faults, all at once, and names of files in the index stay inside the
// folder. A gguf.Folder is opened as well: there, names and layout of the tensors are
// those of the checkpoint it was made from. Weights that are pickled (pytorch_model.bin) are refused: to load a
// pickle is to run it.
package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/safetensors"
	"lorikeet/inference/gguf"
)

// The names of the files, as transformers writes them.
const (
	ConfigFile  = "config.json"
	WeightsFile = "model.safetensors"
	IndexFile   = "model.safetensors.index.json"
)

// Limits of the files that are read whole. Real configurations have some
// kilobytes, and the largest published indices some megabytes.
const (
	maxConfig = 16 << 20
	maxIndex  = 64 << 20
)

// ErrNoTensor is returned for a name that the checkpoint does not hold.
var ErrNoTensor = safetensors.ErrNoTensor

// Model is an open checkpoint. Tensors are read when they are asked for; nothing
// but the configuration and the headers is held in memory. Safe for concurrent
// use until Close.
type Model struct {
	config  []byte
	names   []string
	where   map[string]weights // the file of each tensor
	gguf    *gguf.File         // nil: the weights are safetensors
	closers []io.Closer
}

// weights are the tensors of one file.
type weights interface {
	Names() []string
	Info(name string) (safetensors.Info, bool)
	Float32s(name string) ([]float32, error)
}

// Open opens the model in the root of fsys. The files of fsys should implement
// io.ReaderAt, as those of os.DirFS do; those that do not are read whole.
//
// A folder that holds both kinds of weights is read as transformers does it: the
// single file is used. A sharded checkpoint is taken only if it is whole: each
// tensor of the index is in the file that the index names, and the files hold
// no others. The caller closes the Model.
func Open(fsys fs.FS) (*Model, error) {
	m := &Model{where: map[string]weights{}}
	config, configErr := readConfig(fsys)
	m.config = config
	// Look at the weights even so, to report everything wrong at once.
	if err := errors.Join(configErr, m.openWeights(fsys)); err != nil {
		_ = m.Close() // they were only read
		return nil, fmt.Errorf("open checkpoint: %w", err)
	}
	m.names = slices.Sorted(maps.Keys(m.where))
	return m, nil
}

func readConfig(fsys fs.FS) ([]byte, error) {
	b, err := readLimited(fsys, ConfigFile, maxConfig)
	switch {
	case errors.Is(err, fs.ErrNotExist) && exists(fsys, "adapter_config.json"):
		return nil, invalid.Field(ConfigFile, "the file is missing; there is an adapter_config.json: "+
			"this is a LoRA adapter, to be served on top of a base model, not a model")
	case errors.Is(err, fs.ErrNotExist):
		return nil, invalid.Field(ConfigFile, "the file is missing; a model folder holds %s and %s", ConfigFile, WeightsFile)
	case err != nil:
		return nil, err
	}
	return b, checkConfig(b)
}

// checkConfig wants a JSON object; what is in it is for the architectures to judge.
func checkConfig(b []byte) error {
	if !json.Valid(b) || !bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte("{")) {
		return invalid.Field(ConfigFile, "the file does not hold a JSON object")
	}
	return nil
}

func (m *Model) openWeights(fsys fs.FS) error {
	switch {
	case exists(fsys, WeightsFile):
		f, err := m.openFile(fsys, WeightsFile)
		if err != nil {
			return err
		}
		for _, name := range f.Names() {
			m.where[name] = f
		}
		return nil
	case exists(fsys, IndexFile):
		return m.openShards(fsys)
	case exists(fsys, gguf.WeightsFile):
		return m.openGGUF(fsys)
	}
	return noWeights(fsys)
}

func (m *Model) openGGUF(fsys fs.FS) error {
	f, closer, err := gguf.OpenFS(fsys, gguf.WeightsFile)
	if err != nil {
		return err
	}
	m.gguf, m.closers = f, append(m.closers, closer)
	w, err := f.Weights()
	if err != nil {
		return err
	}
	for _, name := range w.Names() {
		m.where[name] = w
	}
	return nil
}

// openFile opens one safetensors file and leaves it open for as long as m is.
func (m *Model) openFile(fsys fs.FS, name string) (*safetensors.File, error) {
	file, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = invalid.Field(name, "this is a folder, not a file")
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	r, ok := file.(io.ReaderAt)
	size := info.Size()
	if ok {
		m.closers = append(m.closers, file)
	} else {
		b, err := io.ReadAll(file)
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		r, size = bytes.NewReader(b), int64(len(b))
	}
	f, err := safetensors.Open(r, size)
	if err != nil {
		return nil, within(name, err)
	}
	return f, nil
}

// within says in which file the faults are.
func within(file string, err error) error {
	found := invalid.Faults(err)
	if len(found) == 0 {
		return fmt.Errorf("%s: %w", file, err)
	}
	all := make([]error, len(found))
	for i, f := range found {
		field := file
		if f.Field != "" {
			field += ": " + f.Field
		}
		all[i] = &invalid.Fault{Field: field, Line: f.Line, Reason: f.Reason}
	}
	return errors.Join(all...)
}

// Config is config.json as it is in the folder.
func (m *Model) Config() []byte { return slices.Clone(m.config) }

// Names lists the tensors in the order of their names.
func (m *Model) Names() []string { return slices.Clone(m.names) }

// Shape is a tensor's shape, outermost dimension first; false if there is none
// of that name.
func (m *Model) Shape(name string) ([]int, bool) {
	info, ok := m.Info(name)
	return info.Shape, ok
}

// Info is a tensor's element type and shape; false if there is none of that name.
func (m *Model) Info(name string) (safetensors.Info, bool) {
	f, ok := m.where[name]
	if !ok {
		return safetensors.Info{}, false
	}
	return f.Info(name)
}

// Float32s reads a tensor as float32, row-major; see safetensors.File.Float32s.
func (m *Model) Float32s(name string) ([]float32, error) {
	f, ok := m.where[name]
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrNoTensor, name)
	}
	return f.Float32s(name)
}

// Close closes the files.
func (m *Model) Close() error {
	var errs []error
	for _, c := range m.closers {
		errs = append(errs, c.Close())
	}
	m.closers = nil
	return errors.Join(errs...)
}

func exists(fsys fs.FS, name string) bool {
	_, err := fs.Stat(fsys, name)
	return err == nil
}

// readLimited reads a file of at most limit bytes.
func readLimited(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(b)) > limit {
		return nil, invalid.Field(name, "the file has more than %d bytes", limit)
	}
	return b, nil
}
