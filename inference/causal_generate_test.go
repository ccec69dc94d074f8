package inference

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
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
			logits, cache := s.lm.Prefill(p.Root(), p.Input("ids", dtypes.Int32, batch, length), p.Input("mask", dtypes.Int32, batch, length),
				p.Input("rows", dtypes.Int32, batch), s.lm.Cache(p, m.rows, m.length))
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
			logits, cache := s.lm.Step(p.Root(), p.Input("ids", dtypes.Int32, m.rows), p.Input("position", dtypes.Int32, m.rows),
				s.lm.Cache(p, m.rows, m.length))
			return append([]*graph.Node{logits}, cache.Nodes()...)
		})
	m.take(out[1:])
	return s.rows(t, out[0], m.rows)
}

// greedy continues each prompt with up to n most likely tokens, up to and with an end.
func (s *speaker) greedy(t testing.TB, prompts [][]int32, n int, ends []int32, with []*Prepared) [][]int32 {
	t.Helper()
	longest := 0
	for _, p := range prompts {
		longest = max(longest, len(p))
	}
	m := s.remember(t, len(prompts), longest+max(n, 16)) // few lengths: each is compiled
	rows, position, done := make([]int32, len(prompts)), make([]int32, len(prompts)), make([]bool, len(prompts))
	for i, p := range prompts {
		rows[i], position[i] = int32(i), int32(len(p))
	}
	texts, last := make([][]int32, len(prompts)), make([]int32, len(prompts))
	logits := s.prefill(t, m, prompts, rows, with)
	for step := 0; ; step++ {
		for i := range prompts {
			last[i] = highest(logits[i])
			if !done[i] {
				texts[i] = append(texts[i], last[i])
				done[i] = slices.Contains(ends, last[i])
			}
		}
		if step == n-1 || !slices.Contains(done, false) {
			return texts
		}
		logits = s.next(t, m, last, position, with)
		for i := range position {
			position[i]++
		}
	}
}

// generation is one entry of the fixtures' lists of generated texts.
type generation struct {
	Names  []string `json:"adapter_names"`
	Params struct {
		New  int             `json:"max_new_tokens"`
		Ends json.RawMessage `json:"eos_token_id"`
	} `json:"params"`
	Sequences [][]int32 `json:"sequences"`
}

func (g generation) ends(t testing.TB) []int32 {
	t.Helper()
	var many []int32
	if json.Unmarshal(g.Params.Ends, &many) == nil {
		return many
	}
	many = make([]int32, 1)
	if err := json.Unmarshal(g.Params.Ends, &many[0]); err != nil {
		t.Fatal(err)
	}
	return many
}

// check compares texts with what transformers made of prompts of the given width.
func (g generation) check(t *testing.T, what string, got [][]int32, width int) {
	t.Helper()
	if len(got) != len(g.Sequences) {
		t.Fatalf("%s: %d texts, PyTorch has %d", what, len(got), len(g.Sequences))
	}
	for i, text := range got {
		want := g.Sequences[i][width:]
		if len(text) > len(want) || !slices.Equal(text, want[:len(text)]) {
			t.Errorf("%s, row %d: %v, PyTorch has %v", what, i, text, want)
		} else if end := text[len(text)-1]; len(text) < g.Params.New && !slices.Contains(g.ends(t), end) {
			t.Errorf("%s, row %d: ends with %d", what, i, end)
		}
	}
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

func TestGreedyTextsAgreeWithPyTorch(t *testing.T) {
	for _, name := range causals {
		t.Run(name, func(t *testing.T) {
			r := openSpeaker(t, sharedtest.Fixture(t, name), "config.json")
			raw, err := os.ReadFile(filepath.Join(r.dir, "expected.json"))
			if err != nil {
				t.Fatal(err)
			}
			var expected struct {
				Batch map[string]generation `json:"generate"`
				Row0  map[string]generation `json:"generate_row0"`
			}
			if err := json.Unmarshal(raw, &expected); err != nil {
				t.Fatal(err)
			}
			prompts, width := r.prompts(t)
			devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
				s := r.speak(t, backend)
				s.untied = true
				g := expected.Row0["greedy"]
				g.check(t, "row 0 alone", s.greedy(t, prompts[:1], g.Params.New, g.ends(t), nil), len(prompts[0]))

				var mixed generation
				decode(t, r.lists["mixed_generate"], &mixed)
				var single map[string]generation
				decode(t, r.lists["generate"], &single)
				all := map[string]*Prepared{"__base__": nil}
				for _, n := range r.names(t) {
					all[n] = r.prepare(t, n)
				}
				s.wear(t, slices.Collect(maps.Values(all))...)
				// In one graph, to which the bare base is slot 0.
				g = expected.Batch["greedy"]
				g.check(t, "batch", s.greedy(t, prompts, g.Params.New, g.ends(t), same(nil, len(prompts))), width)
				with := make([]*Prepared, len(prompts))
				for i, n := range mixed.Names {
					with[i] = all[n]
				}
				mixed.check(t, "mixed adapters", s.greedy(t, prompts, mixed.Params.New, mixed.ends(t), with), width)
				for _, n := range r.names(t) {
					g := single[n]
					g.check(t, n, s.greedy(t, prompts, g.Params.New, g.ends(t), same(all[n], len(prompts))), width)
				}
			})
		})
	}
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

// TestStories tells the story of a real, if small, model.
func TestStories(t *testing.T) {
	dir := sharedtest.Data(t, "weights/stories260K")
	raw, err := os.ReadFile(filepath.Join(dir, "expected_greedy.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Prompt []int32 `json:"prompt_ids"`
		IDs    []int32 `json:"greedy_ids"`
	}
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	r := openSpeaker(t, filepath.Join(dir, "hf"), "config.json")
	devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
		got := r.speak(t, backend).greedy(t, [][]int32{want.Prompt}, len(want.IDs)-len(want.Prompt), nil, nil)
		if !slices.Equal(got[0], want.IDs[len(want.Prompt):]) {
			t.Errorf("%v, want %v", got[0], want.IDs)
		}
	})
}
