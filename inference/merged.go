package inference

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/adapters/safetensors"
	"lorikeet/inference/arch"
)

// classes are the names transformers gives to a family's classifier.
var classes = map[string]string{"bert": "Bert", "roberta": "Roberta", "distilbert": "DistilBert"}

// Configuration is the base's config.json for weights in float32, and of a base that
// scores texts with a head for these labels.
func (b *Base) Configuration(labels []string, problem arch.Problem) ([]byte, error) {
	var c map[string]any
	if err := json.Unmarshal(b.Config(), &c); err != nil {
		return nil, err
	}
	for _, key := range []string{"dtype", "torch_dtype"} { // the base may be stored in 16 bits
		if _, ok := c[key]; ok {
			c[key] = "float32"
		}
	}
	if b.Generates() {
		return json.MarshalIndent(c, "", "  ")
	}
	names, numbers := map[string]string{}, map[string]int{}
	for i, l := range labels {
		names[fmt.Sprint(i)] = l
		numbers[l] = i
	}
	c["id2label"], c["label2id"] = names, numbers
	c["problem_type"] = problem
	c["architectures"] = []string{classes[b.Facts().Family] + "ForSequenceClassification"}
	if problem == arch.Regression {
		c["num_labels"] = 1
	} else {
		delete(c, "num_labels")
	}
	return json.MarshalIndent(c, "", "  ")
}

// Merged is a base with an adapter folded into its weights: a model of its own, as
// transformers reads it.
type Merged struct {
	files   map[string][]byte // all but the weights
	order   []string
	tensors []safetensors.Out // made one by one, when they are written
	created time.Time
	name    string
}

var pt = map[string]string{"format": "pt"}

// Merge folds an adapter into the base. It reads no weights yet.
func (b *Base) Merge(v adapters.Version, a *adapters.Adapter) (*Merged, error) {
	p, err := b.Prepare(v.Ref, a) // knows whether it can be served, and its labels
	if err != nil {
		return nil, err
	}
	if err := foldable(b, a); err != nil {
		return nil, err
	}
	labels := p.Labels
	if labels == nil {
		labels = b.Facts().Labels
	}
	m := &Merged{files: map[string][]byte{}, created: v.CreatedAt, name: fmt.Sprintf("%s-%d", v.Name, v.Version)}
	config, err := b.Configuration(labels, p.Problem)
	if err != nil {
		return nil, err
	}
	m.add("config.json", config)
	m.add(adapters.CardFile, v.MergedCard())
	for _, name := range append([]string{GenerationFile}, TokenizerFiles...) {
		text, err := fs.ReadFile(b.Folder(), name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		m.add(name, text)
	}
	seen := map[string]bool{}
	put := func(name string, dims []int, make func() ([]float32, error)) {
		if !seen[name] {
			seen[name] = true
			m.tensors = append(m.tensors, safetensors.Out{Name: name, DType: safetensors.F32, Shape: dims, Data: safetensors.Later(make)})
		}
	}
	for _, mod := range b.Layout { // first what the adapter brings: a bare encoder has no head
		d, saved := a.Saved[mod.Path]
		if !saved {
			continue
		}
		put(mod.Path+".weight", []int{d.Out, d.In}, func() ([]float32, error) { return d.Weight, nil })
		if d.Bias != nil {
			put(mod.Path+".bias", []int{d.Out}, func() ([]float32, error) { return d.Bias, nil })
		}
	}
	for _, w := range b.Weights() {
		put(w.Stored(), w.CheckpointDims(), func() ([]float32, error) { return b.folded(a, w.Stored()) })
	}
	return m, nil
}

func (m *Merged) add(name string, text []byte) { m.files[name], m.order = text, append(m.order, name) }

// foldable refuses what has no place in the weights of the base.
func foldable(b *Base, a *adapters.Adapter) error {
	var errs []error
	for _, m := range b.Layout {
		_, adapted := a.Factors[m.Path]
		_, saved := a.Saved[m.Path]
		switch {
		case adapted && m.Kind == adapters.Embedding:
			errs = append(errs, invalid.Field("adapter", "has LoRA on the embedding %s, which is not folded in", m.Path))
		case (adapted || saved) && m.Tied != "":
			errs = append(errs, invalid.Field("adapter", "changes %s, whose weight is the embedding's: apart from it the base has none to change", m.Path))
		}
	}
	return errors.Join(errs...)
}

// folded is one weight of the base with what the adapter adds to it.
func (b *Base) folded(a *adapters.Adapter, name string) ([]float32, error) {
	v, err := b.Tensor(name)
	if err != nil || v == nil {
		return v, errors.Join(err, missing(v, name))
	}
	path, part := split(name)
	m, ok := b.Layout.Find(path)
	f, adapted := a.Factors[path]
	switch {
	case !ok:
		return v, nil
	case part == "bias":
		if own := a.Biases[path]; own != nil {
			v = own
		}
		if !adapted || f.UpBias == nil {
			return v, nil
		}
		scale, err := b.doraScale(m, f)
		if err != nil {
			return nil, err
		}
		up := append([]float32(nil), f.UpBias...)
		multiply(up, f.Scale, scale)
		return add(up, v), nil
	case part == "weight" && adapted:
		d, err := b.merge(m, adapters.Dense{In: m.In, Out: m.Out, Weight: v}, f)
		return d.Weight, err
	}
	return v, nil
}

func missing(v []float32, name string) error {
	if v == nil {
		return fmt.Errorf("the base has no %s", name)
	}
	return nil
}

// split parts a weight's name into its module and what of the module it is.
func split(name string) (path, part string) {
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '.' {
			return name[:i], name[i+1:]
		}
	}
	return "", name
}

// Name is what to call the folder.
func (m *Merged) Name() string { return m.name }

// Write writes the folder as a tar file. One weight at a time is in memory.
func (m *Merged) Write(w io.Writer) error {
	t := tar.NewWriter(w)
	head := func(name string, size int64) error {
		return t.WriteHeader(&tar.Header{Name: m.name + "/" + name, Mode: 0o644, Size: size, ModTime: m.created, Format: tar.FormatPAX})
	}
	for _, name := range m.order {
		if err := head(name, int64(len(m.files[name]))); err != nil {
			return err
		}
		if _, err := t.Write(m.files[name]); err != nil {
			return err
		}
	}
	size, err := safetensors.Size(m.tensors, pt)
	if err != nil {
		return err
	}
	if err := head("model.safetensors", size); err != nil {
		return err
	}
	if err := safetensors.Write(t, m.tensors, pt); err != nil {
		return err
	}
	return t.Close()
}

// Merged folds a version into the base it was made for.
func (e *Engine) Merged(ctx context.Context, v adapters.Version) (*Merged, error) {
	if v.Kind != adapters.KindAdapter {
		return nil, invalid.Field("name", "%s is a full fine-tune: its files are a folder of transformers already", v.Ref)
	}
	s := e.base(v.Base)
	if s == nil {
		return nil, fmt.Errorf("%w: %s was made for base %q, which is not loaded; bases: %s", ErrWrongBase, v.Ref, v.Base, e.names())
	}
	if err := s.base.fits(v); err != nil {
		return nil, err
	}
	a, err := e.Registry.Open(ctx, v, s.base.Layout)
	if err != nil {
		return nil, err
	}
	return s.base.Merge(v, a)
}
