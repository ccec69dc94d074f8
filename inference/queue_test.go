package inference

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"lorikeet/inference/nn"
	"lorikeet/inference/text"
)

// waiting makes a text of n tokens for a model whose grid goes up to 64 tokens.
func waiting(ctx context.Context, m *served, n int) *item {
	return &item{ctx: ctx, model: m, tokens: text.Encoding{IDs: make([]int32, n)}, answer: make(chan result, 1)}
}

func TestQueueBatches(t *testing.T) {
	a := &served{name: "a", programs: &programs{grid: grid(64, 256)}}
	b := &served{name: "b", programs: &programs{grid: grid(64, 256)}}
	q := newQueue(100, 0)
	gone, leave := context.WithCancel(t.Context())
	left := waiting(gone, a, 5)
	items := []*item{waiting(t.Context(), a, 30), left, waiting(t.Context(), b, 10), waiting(t.Context(), a, 64), waiting(t.Context(), a, 7), waiting(t.Context(), a, 32)}
	if err := q.push(items); err != nil {
		t.Fatal(err)
	}
	leave()
	got := q.next()
	want := []*item{items[0], items[4], items[5]} // up to 32 tokens, of model a, still wanted
	if len(got) != len(want) {
		t.Fatalf("the first batch has %d texts, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("text %d of the batch is another", i)
		}
	}
	if got := q.next(); len(got) != 1 || got[0] != items[2] {
		t.Error("the next oldest text does not come next")
	}
	if got := q.next(); len(got) != 1 || got[0] != items[3] {
		t.Error("the long text does not come last")
	}
	if q.next() != nil || q.waiting() != 0 {
		t.Error("the text whose caller has left is still there")
	}
	for range 20 { // 256 tokens hold 16 texts of 16
		if err := q.push([]*item{waiting(t.Context(), a, 16)}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(q.next()); n != 16 {
		t.Errorf("a batch holds %d texts of 16 tokens, want 16", n)
	}
}

// TestQueueMixesLengths has no longer texts wait where padding costs nothing, but for those whose
// graphs are too small for the others that wait.
func TestQueueMixesLengths(t *testing.T) {
	m := &served{programs: &programs{grid: grid(64, 256)}} // 16 texts of 16, 8 of 32, 4 of 64
	for _, c := range []struct{ lengths, first []int }{
		{[]int{10, 64, 20}, []int{10, 64, 20}},
		{[]int{10, 64, 20, 5, 30}, []int{10, 20, 5, 30}}, // 64 holds 4 of the 5
		{[]int{64, 10, 20, 5, 30}, []int{64, 10, 20, 5}}, // the oldest is not left behind
		{[]int{3, 20, 4, 5, 6, 7, 8, 9, 10}, []int{3, 4, 5, 6, 7, 8, 9, 10}},
	} {
		q := newQueue(100, 0)
		q.packs = true
		for _, n := range c.lengths {
			if err := q.push([]*item{waiting(t.Context(), m, n)}); err != nil {
				t.Fatal(err)
			}
		}
		var got []int
		for _, it := range q.next() {
			got = append(got, len(it.tokens.IDs))
		}
		if !slices.Equal(got, c.first) {
			t.Errorf("of %v, the first batch has %v, want %v", c.lengths, got, c.first)
		}
	}
}

func TestAFullQueueRefuses(t *testing.T) {
	m := &served{programs: &programs{grid: grid(64, 256)}}
	q := newQueue(3, 0)
	if err := q.push([]*item{waiting(t.Context(), m, 1), waiting(t.Context(), m, 1)}); err != nil {
		t.Fatal(err)
	}
	if err := q.push([]*item{waiting(t.Context(), m, 1), waiting(t.Context(), m, 1)}); !errors.Is(err, ErrBusy) {
		t.Errorf("a request beyond the limit: %v, want ErrBusy", err)
	}
	last, answer := waiting(t.Context(), m, 1), make(chan result, 1)
	last.answer = answer
	if err := q.push([]*item{last}); err != nil {
		t.Errorf("a request within the limit: %v", err)
	}
	q.close()
	if r := <-answer; !errors.Is(r.err, ErrBusy) {
		t.Errorf("a text that waits when the engine stops is answered %v", r.err)
	}
	if err := q.push([]*item{waiting(t.Context(), m, 1)}); !errors.Is(err, ErrBusy) {
		t.Errorf("a stopped engine takes a request: %v", err)
	}
}

func TestGridHoldsEveryShape(t *testing.T) {
	for _, c := range []struct{ longest, tokens int }{{512, 4096}, {64, 256}, {96, 1024}, {100, 16}, {8, 64}} {
		g := &programs{grid: grid(c.longest, c.tokens)}
		for length := 1; length <= c.longest; length++ {
			rows := g.rows(length)
			b := g.smallest(rows, length)
			if rows < 1 || b.batch < rows || b.length < length || b.length > c.longest {
				t.Fatalf("%v: %d texts of %d tokens go to %v", c, rows, length, b)
			}
			if b.batch > 1 && b.batch*b.length > c.tokens {
				t.Fatalf("%v: bucket %v is above the budget", c, b)
			}
		}
	}
}

func TestProfileCovers(t *testing.T) {
	wide := nn.Profile{Pages: 8, Extras: true, Heads: true, Embed: true}
	qv := nn.Profile{Pages: 1, Targets: map[string]bool{"q": true, "v": true}}
	q := nn.Profile{Pages: 1, Targets: map[string]bool{"q": true}}
	for _, c := range []struct {
		name       string
		have, need *nn.Profile
		want       bool
	}{
		{"the widest covers all", &wide, &qv, true}, {"it covers the bare base", &wide, nil, true}, {"the bare base covers no adapter", nil, &q, false},
		{"more targets cover fewer", &qv, &q, true}, {"fewer do not cover more", &q, &qv, false}, {"named targets do not cover all", &qv, &wide, false},
		{"a low rank does not cover a high one", &q, &nn.Profile{Pages: 2, Targets: map[string]bool{}}, false},
		{"heads must be there", &qv, &nn.Profile{Pages: 1, Heads: true, Targets: map[string]bool{}}, false},
	} {
		if got := covers(c.have, c.need); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestTheGraphsOfAModelAreBounded(t *testing.T) {
	want := make(chan func(), 10*maxTight)
	wide := nn.Profile{Pages: 8, Extras: true, Heads: true, Embed: true}
	g := &programs{grid: grid(64, 256), want: want, wanted: map[string]bool{}}
	for _, b := range g.grid {
		g.ready = append(g.ready, &compiled{bucket: b, profile: &wide})
	}
	for i := range 5 * maxTight {
		need := nn.Profile{Pages: 1, Targets: map[string]bool{fmt.Sprint(i): true}}
		if c := g.pick(3, 20, &need); c == nil || c.batch < 3 || c.length < 20 {
			t.Fatalf("set %d of targets has no graph", i)
		}
	}
	if n := len(want); n != maxTight {
		t.Errorf("%d graphs are asked for, want %d", n, maxTight)
	}
}
