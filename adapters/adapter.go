// Package adapters says what a LoRA adapter is, reads and writes the files PEFT
// keeps one in, and keeps the registry of named, immutable versions.
//
// An Adapter is always read against the Layout of a base. PEFT loads what fits and
// warns about the rest; here every tensor must have its place and every targeted
// module its tensors, or the adapter is refused with all the reasons.
package adapters

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/safetensors"
)

// Names of the two files of a PEFT folder.
const (
	ConfigFile  = "adapter_config.json"
	WeightsFile = "adapter_model.safetensors"
)

// Adapter is the contents of a PEFT folder, checked against a base.
type Adapter struct {
	Config  Config
	Factors map[string]Factors   // by module path
	Biases  map[string][]float32 // by module path: the biases the adapter trained, [out]
	Saved   map[string]Dense     // by module path: layers stored whole
	Meta    Meta
	// Calibration of its scores; nil: none. It is a file of its own, which Read does not see.
	Calibration *Calibration
}

// Factors are the low-rank factors of one module: ΔW = Scale·B·A.
type Factors struct {
	Rank, In, Out int
	A             []float32 // [rank, in]; of an embedding [rank, rows]
	B             []float32 // [out, rank]
	Scale         float64
	Magnitude     []float32 // DoRA's m, [out]; nil: plain LoRA
	UpBias        []float32 // bias of lora_B, [out]; nil: none
}

// Dense is a linear layer: Weight [out, in], Bias [out].
type Dense struct {
	In, Out int
	Weight  []float32
	Bias    []float32
}

// Meta is what we add to the metadata of the safetensors file. PEFT ignores it.
type Meta struct {
	BaseDigest string   // of the base it was trained on
	Labels     []string // names of the outputs of its head
	Problem    string   // problem_type of its head
	Template   string   // what made the prompts it was taught; empty: nothing did
}

const (
	metaBase     = "lorikeet.base_digest"
	metaLabels   = "lorikeet.labels"
	metaProblem  = "lorikeet.problem_type"
	metaTemplate = "lorikeet.template"
)

// Rank is the highest rank of any module.
func (a *Adapter) Rank() int {
	r := 0
	for _, f := range a.Factors {
		r = max(r, f.Rank)
	}
	return r
}

// Targets are the last names of the modules with factors, each once, in order.
func (a *Adapter) Targets() []string {
	names := map[string]bool{}
	for path := range a.Factors {
		names[path[strings.LastIndexByte(path, '.')+1:]] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// prefix is what PEFT puts before the name of every tensor of the base.
const prefix = "base_model.model."

// Read takes in an adapter made for a base with this layout.
func Read(config []byte, weights *safetensors.File, base Layout) (*Adapter, error) {
	c, err := ParseConfig(config)
	if err != nil {
		return nil, err
	}
	plan, err := c.Plan(base)
	if err != nil {
		return nil, err
	}
	r := reader{file: weights, base: base, plan: plan, taken: map[string]bool{},
		a: &Adapter{Config: c, Factors: map[string]Factors{}, Biases: map[string][]float32{}, Saved: map[string]Dense{}}}
	r.read()
	r.meta()
	if err := errors.Join(r.errs...); err != nil {
		return nil, err
	}
	return r.a, nil
}

type reader struct {
	file  *safetensors.File
	base  Layout
	plan  Plan
	a     *Adapter
	taken map[string]bool
	errs  []error
}

func (r *reader) fail(format string, args ...any) {
	r.errs = append(r.errs, invalid.Field(WeightsFile, format, args...))
}

// take reads a tensor that must have these dimensions; a negative one may be any.
// It gives nil, and no error, when the tensor is not there.
func (r *reader) take(name string, dims ...int) []float32 {
	info, ok := r.file.Info(name)
	if !ok {
		return nil
	}
	r.taken[name] = true
	if !fits(info.Shape, dims) {
		r.fail("%s has shape %v, the base needs %v", name, info.Shape, dims)
		return nil
	}
	v, err := r.file.Float32s(name)
	if err != nil {
		r.errs = append(r.errs, err)
		return nil
	}
	for i, x := range v {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			r.fail("%s holds %v at element %d", name, x, i)
			return nil
		}
	}
	return v
}

func fits(shape, dims []int) bool {
	if len(shape) != len(dims) {
		return false
	}
	for i, d := range dims {
		if d >= 0 && d != shape[i] {
			return false
		}
	}
	return true
}

// need is take for a tensor that must be there.
func (r *reader) need(name string, dims ...int) []float32 {
	if _, ok := r.file.Info(name); !ok {
		r.fail("%s is missing: the config targets that module", name)
		return nil
	}
	return r.take(name, dims...)
}

func (r *reader) read() {
	saved := map[string]bool{}
	for _, path := range r.plan.Saved {
		saved[path] = true
	}
	for _, m := range r.base {
		if rank, ok := r.plan.Ranks[m.Path]; ok {
			r.factors(m, rank)
		}
		if saved[m.Path] {
			r.whole(m)
			continue
		}
		r.bias(m)
	}
	for _, name := range r.file.Names() {
		if !r.taken[name] && r.known(name) {
			r.fail("%s has no place in this base", name)
		}
	}
}

// known reports whether an untaken tensor is a mistake. The original weights that
// PEFT may keep beside a trained copy are not, nor are the biases of such a copy that
// it writes a second time when bias is "all".
func (r *reader) known(name string) bool {
	if at, rest, twice := strings.Cut(name, ".modules_to_save."); twice {
		return !r.taken[at+"."+strings.TrimPrefix(rest, "default.")]
	}
	return !strings.Contains(name, ".original_module.")
}

func (r *reader) factors(m Module, rank Rank) {
	at := prefix + m.Path
	f := Factors{Rank: rank.R, In: m.In, Out: m.Out, Scale: rank.Scale}
	if m.Kind == Embedding {
		f.A = r.need(at+".lora_embedding_A", rank.R, m.In)
		f.B = r.need(at+".lora_embedding_B", m.Out, rank.R)
		if !strings.HasSuffix(m.Path, ".word_embeddings") && !strings.HasSuffix(m.Path, ".embed_tokens") {
			r.errs = append(r.errs, invalid.Field("target_modules", "%s: of the embeddings only the words' can have LoRA", m.Path))
		}
		if r.a.Config.DoRA {
			r.errs = append(r.errs, invalid.Field("use_dora", "%s: DoRA on an embedding is not supported", m.Path))
			r.take(at+".lora_magnitude_vector", -1)
		}
		r.copied(m, m.In, m.Out)
	} else {
		if m.Kind == Output {
			r.copied(m, m.Out, m.In)
		}
		f.A = r.need(at+".lora_A.weight", rank.R, m.In)
		f.B = r.need(at+".lora_B.weight", m.Out, rank.R)
		if r.a.Config.DoRA {
			f.Magnitude = r.need(at+".lora_magnitude_vector", m.Out)
		}
		if r.a.Config.UpBias {
			f.UpBias = r.need(at+".lora_B.bias", m.Out)
		}
	}
	r.a.Factors[m.Path] = f
}

// copied takes the copy of the base's own table, or output layer, that PEFT stores
// beside their factors (save_embedding_layers). It is not trained, so it is only held to
// the base's shape: a vocabulary that was enlarged is refused.
func (r *reader) copied(m Module, dims ...int) { r.take(prefix+m.Path+".base_layer.weight", dims...) }

// bias takes the trained bias of a module: PEFT renames the layers it wraps.
func (r *reader) bias(m Module) {
	if !m.Bias || r.a.Config.Bias == "none" {
		return
	}
	b := r.take(prefix+m.Path+".base_layer.bias", m.Out)
	if b == nil {
		b = r.take(prefix+m.Path+".bias", m.Out)
	}
	if b != nil {
		r.a.Biases[m.Path] = b
	}
}

func (r *reader) whole(m Module) {
	if m.Kind != Head && m.Kind != Output {
		r.errs = append(r.errs, invalid.Field("modules_to_save",
			"%s: only layers of the head can be replaced whole when adapters share a batch", m.Path))
	}
	at := prefix + m.Path
	out := m.Out
	if m.Labels {
		out = -1
		if info, ok := r.file.Info(at + ".weight"); ok && len(info.Shape) == 2 {
			out = info.Shape[0]
		}
	}
	d := Dense{In: m.In, Out: out}
	d.Weight = r.need(at+".weight", out, m.In)
	if m.Bias {
		d.Bias = r.need(at+".bias", out)
	}
	r.a.Saved[m.Path] = d
}

func (r *reader) meta() {
	meta := r.file.Metadata()
	r.a.Meta = Meta{BaseDigest: meta[metaBase], Problem: meta[metaProblem], Template: meta[metaTemplate]}
	if s := meta[metaLabels]; s != "" {
		if err := json.Unmarshal([]byte(s), &r.a.Meta.Labels); err != nil {
			r.fail("metadata %s: %v", metaLabels, err)
		}
	}
}

// Tensors lists the adapter as PEFT names it, with the metadata, ready to be
// written to WeightsFile.
func (a *Adapter) Tensors() ([]safetensors.Out, map[string]string) {
	var out []safetensors.Out
	add := func(name string, data []float32, dims ...int) {
		out = append(out, safetensors.Out{Name: prefix + name, DType: "F32", Shape: dims, Data: data})
	}
	for path, f := range a.Factors {
		add(path+".lora_A.weight", f.A, f.Rank, f.In)
		add(path+".lora_B.weight", f.B, f.Out, f.Rank)
		if f.Magnitude != nil {
			add(path+".lora_magnitude_vector", f.Magnitude, f.Out)
		}
	}
	for path, d := range a.Saved {
		add(path+".weight", d.Weight, d.Out, d.In)
		if d.Bias != nil {
			add(path+".bias", d.Bias, d.Out)
		}
	}
	meta := map[string]string{"format": "pt"}
	if a.Meta.BaseDigest != "" {
		meta[metaBase] = a.Meta.BaseDigest
	}
	if a.Meta.Labels != nil {
		b, err := json.Marshal(a.Meta.Labels)
		if err != nil {
			panic(fmt.Sprintf("labels: %v", err)) // strings marshal
		}
		meta[metaLabels] = string(b)
	}
	if a.Meta.Problem != "" {
		meta[metaProblem] = a.Meta.Problem
	}
	if a.Meta.Template != "" {
		meta[metaTemplate] = a.Meta.Template
	}
	return out, meta
}
