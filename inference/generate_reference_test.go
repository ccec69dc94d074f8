package inference

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/compute"

	"lorikeet/adapters/sharedtest"
	"lorikeet/inference/device/devicetest"
)

// expectation is one entry of the fixtures' lists of texts that transformers wrote.
type expectation struct {
	Names  []string `json:"adapter_names"`
	Params struct {
		Beams   int             `json:"num_beams"`
		Most    int             `json:"max_new_tokens"`
		Least   int             `json:"min_new_tokens"`
		Ngram   int             `json:"no_repeat_ngram_size"`
		Penalty float64         `json:"repetition_penalty"`
		Length  *float64        `json:"length_penalty"`
		Early   json.RawMessage `json:"early_stopping"`
		Return  int             `json:"num_return_sequences"`
	} `json:"params"`
	Sequences [][]int32 `json:"sequences"`
}

// parameters are what transformers was asked for.
func (x expectation) parameters() Parameters {
	p := DefaultParameters()
	p.NumBeams, p.MaxNewTokens, p.MinNewTokens, p.NoRepeatNgram = x.Params.Beams, x.Params.Most, x.Params.Least, x.Params.Ngram
	if x.Params.Penalty != 0 {
		p.RepetitionPenalty = x.Params.Penalty
	}
	if x.Params.Length != nil {
		p.LengthPenalty = *x.Params.Length
	}
	p.EarlyStopping = string(x.Params.Early) == "true"
	return p
}

// author is an engine that runs, with a fixture as its base.
type author struct {
	reference
	s *served
}

func openAuthor(t *testing.T, name string, backend compute.Backend) author {
	t.Helper()
	r := openReference(t, name)
	return author{r, serve(t, backend, r.base)}
}

// serve runs an engine that serves a base.
func serve(t *testing.T, backend compute.Backend, base *Base) *served {
	t.Helper()
	e := testEngine(backend, 16)
	e.MaxWaiting = 64
	s, err := e.place(base.Name, base, e.Slots)
	if err != nil {
		t.Fatal(err)
	}
	e.bases[base.Name] = s
	e.Open()
	var run sync.WaitGroup
	ctx := t.Context()
	run.Go(func() { _ = e.Run(ctx) })
	t.Cleanup(func() { run.Wait(); _ = free(s.weights) })
	return s
}

// write writes the continuation of each prompt, all at once, and gives the tokens with
// those that transformers has beside them: its start, and its end.
func (a author) write(t *testing.T, x expectation, prompts [][]int32, with []*Prepared) [][]int32 {
	t.Helper()
	drafts := make([]*draft, len(prompts))
	for i, ids := range prompts {
		drafts[i] = a.s.begin(t.Context(), ids, x.parameters(), with[i])
		if b, ok := drafts[i].search.(*beams); ok {
			b.until = string(x.Params.Early) == `"never"`
		}
		if err := a.s.writer.push(drafts[i]); err != nil {
			t.Fatal(err)
		}
	}
	texts := make([][]int32, len(prompts))
	for i, d := range drafts {
		end, err := d.follow(nil)
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = end.tokens
		if start, ok := a.s.writer.scripts.family.starts(); ok {
			texts[i] = append([]int32{start}, texts[i]...)
		}
		if _, stopped := d.search.result(); stopped {
			texts[i] = append(texts[i], -1) // some end
		}
	}
	return texts
}

func (a author) compare(t *testing.T, what string, x expectation, prompts [][]int32, width int, with []*Prepared) {
	t.Helper()
	step := max(1, x.Params.Return)
	for i, got := range a.write(t, x, prompts, with) {
		want := x.Sequences[i*step]
		if !a.s.writer.reads() {
			want = want[width:]
		}
		if n := len(got) - 1; n >= 0 && got[n] == -1 && n < len(want) && slices.Contains(a.base.Ends(), want[n]) {
			got[n] = want[n]
		}
		if len(got) > len(want) || !slices.Equal(got, want[:len(got)]) {
			t.Errorf("%s, row %d: %v, transformers has %v", what, i, got, want)
		} else if rest := want[len(got):]; len(rest) > 0 && slices.ContainsFunc(rest, func(id int32) bool { return id != rest[0] }) {
			t.Errorf("%s, row %d: ends after %v, transformers goes on: %v", what, i, got, rest)
		}
	}
}

func TestTextsAgreeWithTransformers(t *testing.T) {
	for _, name := range []string{"t5", "t5-v5-unscaled", "flan-t5", "mt5", "marian", "llama", "llama3-tied", "qwen2"} {
		t.Run(name, func(t *testing.T) {
			devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
				compiled := backend.Name() != devicetest.Go(t).Name()
				if compiled && name != "t5" && name != "llama3-tied" {
					return // a graph takes a second to compile; the Go backend shows this one
				}
				a := openAuthor(t, name, backend)
				raw, err := os.ReadFile(filepath.Join(a.dir, "expected.json"))
				if err != nil {
					t.Fatal(err)
				}
				var expected struct {
					Batch map[string]expectation `json:"generate"`
					Row0  map[string]expectation `json:"generate_row0"`
				}
				if err := json.Unmarshal(raw, &expected); err != nil {
					t.Fatal(err)
				}
				prompts, width := a.prompts(t)
				for _, mode := range slices.Sorted(maps.Keys(expected.Batch)) {
					if compiled && mode != "greedy" && mode != "beam4" {
						continue
					}
					a.compare(t, mode, expected.Batch[mode], prompts, width, same(nil, len(prompts)))
					a.compare(t, mode+" alone", expected.Row0[mode], prompts[:1], len(prompts[0]), same(nil, 1))
				}
				var mixed expectation
				decode(t, a.lists["mixed_generate"], &mixed)
				var single map[string]expectation
				decode(t, a.lists["generate"], &single)
				all := map[string]*Prepared{"__base__": nil}
				for _, n := range slices.Sorted(maps.Keys(single)) {
					name, _, _ := strings.Cut(n, ":") // "all-r8:beam4"
					all[name] = a.prepare(t, name)
					if compiled {
						continue // the mixed batch has them all
					}
					a.compare(t, n, single[n], prompts, width, same(all[name], len(prompts)))
				}
				with := make([]*Prepared, len(prompts))
				for i, n := range mixed.Names {
					with[i] = all[n]
				}
				a.compare(t, "mixed adapters", mixed, prompts, width, with)
			})
		})
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
	base, err := OpenBase("stories", "test", os.DirFS(filepath.Join(dir, "hf")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = base.Close() })
	devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
		goesOn(t, serve(t, backend, base), [][]int32{want.Prompt}, [][]int32{want.IDs[len(want.Prompt):]})
	})
}

// goesOn holds what follows each prompt, all in one batch, against what a reference
// wrote that did not stop at an end.
func goesOn(t *testing.T, s *served, prompts, want [][]int32) {
	t.Helper()
	drafts := make([]*draft, len(prompts))
	for i, ids := range prompts {
		p := DefaultParameters()
		p.MaxNewTokens = len(want[i])
		drafts[i] = s.begin(t.Context(), ids, p, nil)
		if err := s.writer.push(drafts[i]); err != nil {
			t.Fatal(err)
		}
	}
	for i, d := range drafts {
		end, err := d.follow(nil)
		if err != nil {
			t.Fatal(err)
		}
		n := len(end.tokens)
		if !slices.Equal(end.tokens, want[i][:n]) || n < len(want[i]) && !slices.Contains(s.base.Ends(), want[i][n]) {
			t.Errorf("prompt %d goes on with %q, the reference with %q", i, s.base.Text.Decode(end.tokens, false), s.base.Text.Decode(want[i], false))
		}
	}
}
