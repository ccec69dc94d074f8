package inference

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/adapters"
	"lorikeet/adapters/safetensors"
	"lorikeet/adapters/safetensors/safetensorstest"
	"lorikeet/inference/arch"
	"lorikeet/inference/checkpoint"
	"lorikeet/inference/nn"
)

// translation is a fixture opened, on a backend.
type translation struct {
	dir     string
	model   arch.Seq2Seq
	base    *Base
	io      *safetensors.File
	backend compute.Backend
	weights map[string]compute.Buffer
	bank    *bank
	profile *nn.Profile // nil: bare base

	batch, source, target int
	ids, mask, decoder    []int32
}

func openTranslation(t *testing.T, dir, config string, backend compute.Backend) *translation {
	t.Helper()
	files, err := checkpoint.Open(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = files.Close() })
	r := &translation{dir: dir, backend: backend, base: &Base{Name: filepath.Base(dir), model: files}, io: safetensorstest.Open(t, filepath.Join(dir, "io.safetensors"))}
	model, err := arch.OpenSeq2Seq(readConfig(t, dir, config))
	if err != nil {
		t.Fatal(err)
	}
	r.model, r.base.tensors, err = arch.Settle(model, files.Names(), func(a, b string) (bool, error) {
		va, err := files.Float32s(a)
		if err != nil {
			return false, err
		}
		vb, err := files.Float32s(b)
		return slices.Equal(va, vb), err
	})
	if err != nil {
		t.Fatal(err)
	}
	r.base.Seq2Seq = r.model
	r.read(t)
	pass, _, err := nn.Build(backend, "sketch", r.forward)
	if err != nil {
		t.Fatal(err)
	}
	r.base.weights = slices.DeleteFunc(slices.Clone(pass.Params), func(q nn.Param) bool { return q.Role != nn.Weight })
	r.base.Layout = pass.Modules
	if err := r.base.match(); err != nil {
		t.Fatal(err)
	}
	if r.weights, err = r.base.Upload(backend); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = free(r.weights) })
	return r
}

// readConfig reads a file of the fixture, or changes fields of its config.json.
func readConfig(t *testing.T, dir, config string) []byte {
	t.Helper()
	if config[0] != '{' {
		raw, err := os.ReadFile(filepath.Join(dir, config))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]any{}
	for _, b := range [][]byte{raw, []byte(config)} {
		if err := json.Unmarshal(b, &fields); err != nil {
			t.Fatal(err)
		}
	}
	raw, err = json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (r *translation) read(t *testing.T) {
	t.Helper()
	info, _ := r.io.Info("input_ids")
	r.batch, r.source = info.Shape[0], info.Shape[1]
	info, _ = r.io.Info("decoder_input_ids")
	r.target = info.Shape[1]
	r.ids, r.mask = narrow(ints(t, r.io, "input_ids")), narrow(ints(t, r.io, "attention_mask"))
	r.decoder = narrow(ints(t, r.io, "decoder_input_ids"))
}

// forward builds the whole model on the fixture's batch → logits.
func (r *translation) forward(p *nn.Pass) []*graph.Node {
	mask := p.Input("mask", dtypes.Int32, r.batch, r.source)
	states := r.model.Encode(p.Root(), p.Input("ids", dtypes.Int32, r.batch, r.source), mask)
	return []*graph.Node{r.model.Decode(p.Root(), p.Input("decoder", dtypes.Int32, r.batch, r.target), states, mask)}
}

// adapter reads one of the fixture's PEFT folders; "__base__" is no adapter.
func (r *translation) adapter(t *testing.T, name string) *Prepared {
	t.Helper()
	if name == "__base__" {
		return nil
	}
	dir := filepath.Join(r.dir, "adapters", name)
	config, err := os.ReadFile(filepath.Join(dir, adapters.ConfigFile))
	if err != nil {
		t.Fatal(err)
	}
	a, err := adapters.Read(config, safetensorstest.Open(t, filepath.Join(dir, adapters.WeightsFile)), r.base.Layout)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	p, err := r.base.Prepare(adapters.Ref{Name: name, Version: 1, Digest: name}, a)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return p
}

// wear makes adapters resident; graphs from here on can run any of them.
func (r *translation) wear(t *testing.T, all []*Prepared) {
	t.Helper()
	r.bank = newBank(r.backend, r.base, 16)
	r.profile = union(all, false, 2)
	if n, err := r.bank.fit(all); err != nil || n != len(all) {
		t.Fatalf("%d of %d adapters fit: %v", n, len(all), err)
	}
}

func (r *translation) slots(with []*Prepared) []int32 {
	slots := make([]int32, len(with)*r.profile.Pages)
	for i, p := range with {
		if p != nil {
			copy(slots[i*r.profile.Pages:], r.bank.loaded[p.Ref.Digest].slots)
		}
	}
	return slots
}

func (r *translation) compile(t *testing.T, build func(*nn.Pass) []*graph.Node) *nn.Program {
	t.Helper()
	program, err := nn.Compile(r.backend, "test", func(p *nn.Pass) []*graph.Node {
		if r.profile != nil {
			p.Bank = NewBank(p, r.batch, r.source, r.bank.size, *r.profile)
		}
		return build(p)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(program.Free)
	return program
}

// run runs a program on the fixture's batch, each row with its own adapter. more holds
// further inputs, donated the buffers that are used up.
func (r *translation) run(t *testing.T, program *nn.Program, with []*Prepared, more map[string][]int32, donated map[string]compute.Buffer) []compute.Buffer {
	t.Helper()
	in := map[string][]int32{"ids": r.ids, "mask": r.mask, "decoder": r.decoder}
	maps.Copy(in, more)
	if r.profile != nil {
		in["slots"] = r.slots(with)
	}
	out, err := program.Run(func(p nn.Param) (compute.Buffer, bool, error) {
		switch p.Role {
		case nn.Weight:
			b, err := r.weight(p)
			return b, false, err
		case nn.Slots:
			b, err := r.bank.buffer(p)
			return b, false, err
		}
		if b, ok := donated[p.Name]; ok {
			return b, true, nil
		}
		b, err := nn.Upload(r.backend, in[p.Name], p.Shape.Dimensions...)
		return b, true, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// weight uploads what the bare model asks for in another layout.
func (r *translation) weight(p nn.Param) (compute.Buffer, error) {
	if b, ok := r.weights[p.Name]; ok {
		return b, nil
	}
	v, err := r.base.Value(p)
	if err != nil {
		return nil, err
	}
	r.weights[p.Name], err = nn.Upload(r.backend, v, p.Shape.Dimensions...)
	return r.weights[p.Name], err
}

// values downloads and frees a buffer, as rows of the given width.
func values(t *testing.T, b compute.Buffer, width int) [][]float32 {
	t.Helper()
	v, err := nn.Download(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Finalize(); err != nil {
		t.Fatal(err)
	}
	return slices.Collect(slices.Chunk(v, width))
}
