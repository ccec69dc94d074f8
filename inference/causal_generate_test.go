package inference

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"lorikeet/adapters/sharedtest"
	"lorikeet/inference/device/devicetest"
	"lorikeet/inference/nn"
)

// memory is a cache on the device, by the names of the graph's inputs.
type memory struct {
	rows, length int
	buffers      map[string]compute.Buffer
}

func (s *speaker) remember(t testing.TB, rows, length int) *memory {
	t.Helper()
	m := &memory{rows, length, map[string]compute.Buffer{}}
	p, _, err := nn.Build(devicetest.Go(t), "cache", func(p *nn.Pass) []*graph.Node { return s.lm.Cache(p, rows, length).Nodes() })
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range p.Params {
		// What lies in slots not yet written to must not matter.
		junk := slices.Repeat([]float32{1e4}, q.Shape.Size())
		if m.buffers[q.Name], err = nn.Upload(s.backend, junk, q.Shape.Dimensions...); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = free(m.buffers) })
	return m
}

// take puts the cache that a run gave out in the place of the one it consumed.
func (m *memory) take(out []compute.Buffer) {
	for i := range len(out) / 2 {
		m.buffers[fmt.Sprintf("keys.%d", i)], m.buffers[fmt.Sprintf("values.%d", i)] = out[2*i], out[2*i+1]
	}
}

// prefill reads prompts into rows of the cache → logits after each.
func (s *speaker) prefill(t testing.TB, m *memory, prompts [][]int32, rows []int32, with []*Prepared) [][]float32 {
	t.Helper()
	length := 0
	for _, p := range prompts {
		length = max(length, len(p))
	}
	batch := len(prompts)
	ids, mask := make([]int32, batch*length), make([]int32, batch*length)
	for i, p := range prompts {
		copy(ids[i*length:], p)
		fillInt(mask[i*length:i*length+len(p)], 1)
	}
	out := s.run(t, fmt.Sprintf("prefill_%dx%d_%dx%d", batch, length, m.rows, m.length), batch, length, with,
		map[string][]int32{"ids": ids, "mask": mask, "rows": rows}, m.buffers, func(p *nn.Pass) []*graph.Node {
			logits, read := s.lm.Prefill(p.Root(), p.Input("ids", dtypes.Int32, batch, length), p.Input("mask", dtypes.Int32, batch, length))
			cache := s.lm.Cache(p, m.rows, m.length).Put(read, p.Input("rows", dtypes.Int32, batch))
			return append([]*graph.Node{logits}, cache.Nodes()...)
		})
	m.take(out[1:])
	return s.rows(t, out[0], batch)
}

// next reads one token for every row → logits after it.
func (s *speaker) next(t testing.TB, m *memory, ids, position []int32, with []*Prepared) [][]float32 {
	t.Helper()
	out := s.run(t, fmt.Sprintf("step_%dx%d", m.rows, m.length), m.rows, 1, with,
		map[string][]int32{"ids": ids, "position": position}, m.buffers, func(p *nn.Pass) []*graph.Node {
			cache, position := s.lm.Cache(p, m.rows, m.length), p.Input("position", dtypes.Int32, m.rows)
			logits, next := s.lm.Step(p.Root(), p.Input("ids", dtypes.Int32, m.rows), position, cache)
			return append([]*graph.Node{logits}, cache.Append(next, position).Nodes()...)
		})
	m.take(out[1:])
	return s.rows(t, out[0], m.rows)
}

// prompts are the fixture's, without the padding on their left.
func (r reference) prompts(t testing.TB) (prompts [][]int32, width int) {
	t.Helper()
	info, _ := r.io.Info("gen.input_ids")
	width = info.Shape[1]
	ids, mask := ints(t, r.io, "gen.input_ids"), ints(t, r.io, "gen.attention_mask")
	for at := 0; at < len(ids); at += width {
		var p []int32
		for j := at; j < at+width; j++ {
			if mask[j] == 1 {
				p = append(p, int32(ids[j]))
			}
		}
		prompts = append(prompts, p)
	}
	return prompts, width
}

// TestStepsGiveWhatTheWholePassGives reads half of each text at once and the rest token
// by token, each row from its own place, in a cache that has more rows than texts.
func TestStepsGiveWhatTheWholePassGives(t *testing.T) {
	for _, name := range causals {
		t.Run(name, func(t *testing.T) {
			r := openSpeaker(t, sharedtest.Fixture(t, name), "config.json")
			texts := r.batch(t)
			v, err := r.io.Float32s("logits")
			if err != nil {
				t.Fatal(err)
			}
			info, _ := r.io.Info("logits")
			at := func(row, token int) []float32 {
				n := (row*info.Shape[1] + token) * info.Shape[2]
				return v[n : n+info.Shape[2]]
			}
			devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
				s := r.speak(t, backend)
				m := s.remember(t, len(texts)+2, 24)
				prompts, rows := make([][]int32, len(texts)), make([]int32, len(texts))
				for i, e := range texts {
					prompts[i] = e.IDs[:max(1, len(e.IDs)/2)]
					rows[i] = int32((i*3 + 1) % m.rows) // in no order
				}
				// The first fills the batch up; the next overwrites it.
				filled := append([][]int32{{7, 8, 9}}, prompts...)
				for i, got := range s.prefill(t, m, filled, append([]int32{rows[0]}, rows...), nil)[1:] {
					compare(t, "prefill", [][]float32{got}, [][]float32{at(i, len(prompts[i])-1)})
				}
				ids, position := make([]int32, m.rows), make([]int32, m.rows)
				for step := range info.Shape[1] {
					var live []int
					for i, e := range texts {
						if n := len(prompts[i]) + step; n < len(e.IDs) {
							ids[rows[i]], position[rows[i]] = e.IDs[n], int32(n)
							live = append(live, i)
						}
					}
					if live == nil {
						break
					}
					logits := s.next(t, m, ids, position, nil)
					for _, i := range live {
						compare(t, fmt.Sprintf("step %d", step), [][]float32{logits[rows[i]]}, [][]float32{at(i, int(position[rows[i]]))})
					}
				}
			})
		})
	}
}

// TestPaddingMayBeOnEitherSide compares the last logits of prompts padded on the left,
// as transformers has them, and alone.
func TestPaddingMayBeOnEitherSide(t *testing.T) {
	r := openSpeaker(t, sharedtest.Fixture(t, "llama3-tied"), "config.json")
	prompts, width := r.prompts(t)
	s := r.speak(t, devicetest.Go(t))
	ids, mask := narrow(ints(t, r.io, "gen.input_ids")), narrow(ints(t, r.io, "gen.attention_mask"))
	padded := s.logits(t, ids, mask, len(prompts), nil)
	for i, p := range prompts {
		ones := make([]int32, len(p))
		fillInt(ones, 1)
		alone := s.logits(t, p, ones, 1, nil)
		compare(t, fmt.Sprintf("prompt %d", i), [][]float32{padded[(i+1)*width-1]}, [][]float32{alone[len(p)-1]})
	}
}
