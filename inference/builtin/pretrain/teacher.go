package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/inference"
	"lorikeet/inference/nn"
)

// teacher answers batches, and keeps its answers in a folder: a second epoch, or a
// student of another size, does not ask again.
type teacher struct {
	shape
	base     *inference.Base
	backend  compute.Backend
	cache    string
	weights  map[string]compute.Buffer
	programs map[int]*nn.Program
	probers  map[string]*prober // by the prefix of the names
}

func openTeacher(folder, cache string, backend compute.Backend) (*teacher, error) {
	base, err := inference.OpenBase("teacher", folder, os.DirFS(folder))
	if err != nil {
		return nil, err
	}
	t := &teacher{base: base, backend: backend, cache: cache, weights: map[string]compute.Buffer{}, programs: map[int]*nn.Program{}}
	if err := json.Unmarshal(base.Config(), &t.shape); err != nil {
		return nil, err
	}
	return t, os.MkdirAll(cache, 0o755)
}

// feed gives the teacher's weights, and the inputs by name.
func (t *teacher) feed(inputs map[string]any, held *[]compute.Buffer, dims ...int) nn.Feed {
	return func(p nn.Param) (compute.Buffer, bool, error) {
		if p.Role == nn.Input {
			v, err := nn.Upload(t.backend, inputs[p.Name].([]int32), dims...)
			*held = append(*held, v)
			return v, false, err
		}
		if b, ok := t.weights[p.Name]; ok {
			return b, false, nil
		}
		q := p
		q.Name = "bert." + p.Name
		v, err := t.base.Value(q)
		if err != nil {
			return nil, false, err
		}
		b, err := nn.Upload(t.backend, v, p.Shape.Dimensions...)
		t.weights[p.Name] = b
		return b, false, err
	}
}

// inputs of a batch.
func (t *teacher) inputs(b batch) map[string]any {
	ids := func(e example) []int32 { return e.teacher }
	return map[string]any{"ids": pad(b.rows, b.length, ids, t.base.Text.PadID()), "mask": present(b.rows, b.length, ids),
		"word": pad(b.rows, b.length, func(e example) []int32 { return e.teacherWord }, -1)}
}

// answer gives the states of the words [rows, length, dim] and the embeddings of the
// texts [rows, dim].
func (t *teacher) answer(b batch) (words, texts []float32, err error) {
	file := filepath.Join(t.cache, fmt.Sprintf("%05d", b.number))
	nw, nt := len(b.rows)*b.length*t.Dim, len(b.rows)*t.Dim
	if v, err := readHalf(file); err == nil && len(v) == nw+nt {
		return v[:nw], v[nw:], nil
	}
	g, ok := t.programs[b.length]
	if !ok {
		g, err = nn.Compile(t.backend, fmt.Sprintf("teacher_%d", b.length), func(p *nn.Pass) []*graph.Node {
			return t.teach(p, len(b.rows), b.length)
		})
		if err != nil {
			return nil, nil, err
		}
		t.programs[b.length] = g
	}
	out, err := run(g, func(held *[]compute.Buffer) nn.Feed { return t.feed(t.inputs(b), held, len(b.rows), b.length) })
	if err != nil {
		return nil, nil, err
	}
	return out[0], out[1], writeHalf(file, append(out[0][:nw:nw], out[1]...))
}

// run runs a program, and frees what it was fed and what it gave.
func run(g *nn.Program, feed func(held *[]compute.Buffer) nn.Feed) (values [][]float32, err error) {
	var held []compute.Buffer
	out, err := g.Run(feed(&held))
	for _, b := range held {
		err = errors.Join(err, b.Finalize())
	}
	for _, b := range out {
		v, e := nn.Download(b)
		values = append(values, v)
		err = errors.Join(err, e, b.Finalize())
	}
	return values, err
}

// writeHalf stores values as bfloat16.
func writeHalf(file string, values []float32) error {
	b := make([]byte, 2*len(values))
	for i, v := range values {
		binary.LittleEndian.PutUint16(b[2*i:], uint16((math.Float32bits(v)+0x8000)>>16))
	}
	temporary := file + ".part"
	if err := os.WriteFile(temporary, b, 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, strings.TrimSuffix(temporary, ".part"))
}

func readHalf(file string) ([]float32, error) {
	b, err := os.ReadFile(file)
	v := make([]float32, len(b)/2)
	for i := range v {
		v[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
	}
	return v, err
}
