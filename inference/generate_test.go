package inference_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/gomlx/compute"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/inference"
	"lorikeet/inference/device/devicetest"
	"lorikeet/inference/inferencetest"
)

// writers are the two kinds of base that write.
var writers = map[string]func(testing.TB) string{"llama": inferencetest.Llama, "t5": inferencetest.T5}

// author is an engine that runs, with a tiny base that writes.
func author(t *testing.T, backend compute.Backend, dir string) rig {
	t.Helper()
	return run(t, backend, 8, 50, dir)
}

// ask is a request for n tokens.
func ask(prompt, adapter string, n int) inference.GenerateRequest {
	r := inference.GenerateRequest{Model: "tiny", Adapter: adapter, Prompt: prompt, Parameters: inference.DefaultParameters()}
	r.MaxNewTokens = n
	return r
}

func (r rig) generate(t *testing.T, q inference.GenerateRequest) inference.Generated {
	t.Helper()
	g, err := r.Generate(t.Context(), q, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestTextsThatShareABatchAreWrittenAsEachAlone(t *testing.T) {
	devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
		for name, dir := range writers {
			if name == "t5" && backend.Name() != devicetest.Go(t).Name() {
				continue // each of its graphs takes a second to compile there
			}
			r := author(t, backend, dir(t))
			r.add(t, "small", 1, 3)
			r.add(t, "large", 2, 13)
			var asked []inference.GenerateRequest
			for i, adapter := range []string{"", "small", "large", "small", "", "large", "small"} {
				q := ask(strings.Repeat("a ", 1+i), adapter, 6+5*i)
				switch i {
				case 2:
					q.NumBeams = 3
				case 3:
					q.Sample, q.Seed, q.TopK, q.Temperature = true, new(uint64), 20, 0.9
				case 5:
					q.RepetitionPenalty, q.NoRepeatNgram = 1.3, 2
				}
				asked = append(asked, q)
			}
			want := make([]string, len(asked))
			for i, q := range asked {
				want[i] = r.generate(t, q).Text
			}
			var calls sync.WaitGroup
			for i := range 4 * len(asked) {
				calls.Go(func() {
					i %= len(asked)
					g, err := r.Generate(t.Context(), asked[i], nil)
					switch {
					case err != nil:
						t.Error(err)
					case g.Text != want[i]:
						t.Errorf("%s, text %d: %q in the batch, %q alone", name, i, g.Text, want[i])
					case asked[i].Adapter != "" && (g.Adapter == nil || g.Adapter.Name != asked[i].Adapter):
						t.Errorf("%s, text %d is answered as %v", name, i, g.Adapter)
					}
				})
			}
			calls.Wait()
			if s := r.Stats(); s.StepRows <= s.Steps {
				t.Errorf("%s: %d steps for %d rows: nothing was shared", name, s.Steps, s.StepRows)
			}
		}
	})
}

func TestPiecesAreCharactersAndMakeTheText(t *testing.T) {
	r := author(t, devicetest.Go(t), inferencetest.Llama(t))
	for seed := range uint64(20) {
		q := ask("once", "", 60)
		q.Sample, q.Seed = true, &seed
		var all strings.Builder
		g, err := r.Generate(t.Context(), q, func(text string) error {
			if !utf8.ValidString(text) || text == "" {
				t.Errorf("a piece is %q", text)
			}
			all.WriteString(text)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if all.String() != g.Text {
			t.Errorf("the pieces make %q, the text is %q", all.String(), g.Text)
		}
		if want := r.base.Text.Decode(g.Tokens, true); g.Text != want {
			t.Errorf("the text is %q, its tokens are %q", g.Text, want)
		}
	}
}

func TestATextEndsBeforeAStopString(t *testing.T) {
	r := author(t, devicetest.Go(t), inferencetest.Llama(t))
	seed := uint64(3)
	q := ask("once", "", 80)
	q.Sample, q.Seed, q.Temperature = true, &seed, 2
	whole := r.generate(t, q).Text
	for _, beams := range []int{1, 2} {
		q := q
		if q.NumBeams = beams; beams > 1 {
			q.Sample = false
			whole = r.generate(t, q).Text
		}
		runes := []rune(whole)
		stop := string(runes[len(runes)/2 : len(runes)/2+2])
		q.Stop = []string{"never to be seen", stop}
		var all strings.Builder
		g, err := r.Generate(t.Context(), q, func(text string) error { all.WriteString(text); return nil })
		if err != nil {
			t.Fatal(err)
		}
		want, _, _ := strings.Cut(whole, stop)
		if g.Text != want || all.String() != want || g.Finish != inference.FinishStop {
			t.Errorf("%d beams: %q (%s), pieces %q; want %q", beams, g.Text, g.Finish, all.String(), want)
		}
	}
}

func TestASeedDecidesWhatIsDrawn(t *testing.T) {
	r := author(t, devicetest.Go(t), inferencetest.Llama(t))
	text := func(seed uint64, k int) string {
		q := ask("once", "", 30)
		q.Sample, q.Seed, q.TopK = true, &seed, k
		return r.generate(t, q).Text
	}
	if a, b := text(1, 0), text(1, 0); a != b {
		t.Errorf("one seed gives %q and %q", a, b)
	}
	if a, b := text(1, 0), text(2, 0); a == b {
		t.Errorf("two seeds give %q", a)
	}
	if a, b := text(1, 1), r.generate(t, ask("once", "", 30)).Text; a != b {
		t.Errorf("the likeliest of one is %q, greedy is %q", a, b)
	}
}

func TestACallerWhoLeavesFreesTheRow(t *testing.T) {
	r := author(t, devicetest.Go(t), inferencetest.Llama(t))
	broken := errors.New("the connection is gone")
	for range 100 { // twice as many as may wait, and three times the rows
		if _, err := r.Generate(t.Context(), ask("once", "", 100), func(string) error { return broken }); !errors.Is(err, broken) {
			t.Fatalf("%v, want the error of emit", err)
		}
	}
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	var calls sync.WaitGroup
	for range 10 {
		calls.Go(func() {
			_, err := r.Generate(ctx, ask("once", "", 100), func(string) error { leave(); return nil })
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%v, want that of the context", err)
			}
		})
	}
	calls.Wait()
	r.generate(t, ask("once", "", 5))
}

func TestAnAdapterThatIsUnloadedStaysInTheTextsItIsIn(t *testing.T) {
	r := author(t, devicetest.Go(t), inferencetest.T5(t))
	v := r.add(t, "first", 1, 16)
	for i := range 6 { // more than the slots hold
		r.add(t, "other"+string(rune('a'+i)), uint64(i+2), 16)
	}
	want := r.generate(t, ask("once upon", "first", 90)).Text
	var once sync.Once
	var calls sync.WaitGroup
	got, err := r.Generate(t.Context(), ask("once upon", "first", 90), func(string) error {
		once.Do(func() {
			if err := r.Unload(t.Context(), v); err != nil {
				t.Error(err)
			}
			for i := range 6 {
				calls.Go(func() { _, _ = r.Generate(t.Context(), ask("once", "other"+string(rune('a'+i)), 10), nil) })
			}
		})
		return nil
	})
	calls.Wait()
	if err != nil || got.Text != want {
		t.Errorf("%q (%v), want %q", got.Text, err, want)
	}
}

// TestAPromptMayBeReadByAGraphForLongerOnes asks with a prompt of middling length when
// there is a room for it, but only graphs that read shorter and longer ones: the longer
// one's result is wider than the room.
func TestAPromptMayBeReadByAGraphForLongerOnes(t *testing.T) {
	middling := ask(strings.Repeat("x", 40), "", 8)
	for name, dir := range writers {
		want := author(t, devicetest.Go(t), dir(t)).generate(t, middling).Text
		r := author(t, devicetest.Go(t), dir(t))
		r.generate(t, ask("once", "", 8))
		r.generate(t, ask(strings.Repeat("x", 100), "", 8))
		if got := r.generate(t, middling).Text; got != want {
			t.Errorf("%s: %q after a longer prompt, %q before", name, got, want)
		}
	}
}

func TestPromptsThatAreTooLong(t *testing.T) {
	for name, dir := range writers {
		r := author(t, devicetest.Go(t), dir(t))
		long := strings.Repeat("x", 500)
		if _, err := r.Generate(t.Context(), ask(long, "", 10), nil); !invalid.Is(err) {
			t.Errorf("%s: %v, want a fault", name, err)
		}
		q := ask(long, "", 10)
		q.Truncate = true
		if g := r.generate(t, q); g.InputTokens > 128 || g.OutputTokens == 0 {
			t.Errorf("%s: cut to %d tokens, %d written", name, g.InputTokens, g.OutputTokens)
		}
		// What is asked for does not fit behind the prompt: the text ends where the model does.
		if g := r.generate(t, ask(strings.Repeat("x", 100), "", 4000)); g.Finish == inference.FinishLength && g.InputTokens+g.OutputTokens < 128 {
			t.Errorf("%s: ends for its length after %d and %d tokens", name, g.InputTokens, g.OutputTokens)
		}
	}
}

func TestWhatWritesIsNotScoredAndTheOtherWayRound(t *testing.T) {
	r := author(t, devicetest.Go(t), inferencetest.T5(t))
	if _, err := r.Predict(t.Context(), inference.Request{Model: "tiny", Inputs: texts[:1]}); !invalid.Is(err) {
		t.Errorf("scores of a T5: %v, want a fault", err)
	}
	c := start(t, devicetest.Go(t), 8, "negative", "positive")
	if _, err := c.Generate(t.Context(), ask("once", "", 5), nil); !invalid.Is(err) {
		t.Errorf("a text of a classifier: %v, want a fault", err)
	}
	for what, q := range map[string]inference.GenerateRequest{"model": {Model: "nope", Prompt: "x"}, "adapter": ask("x", "nope", 3)} {
		if _, err := r.Generate(t.Context(), q, nil); !errors.Is(err, inference.ErrUnknownModel) && !errors.Is(err, adapters.ErrNotFound) {
			t.Errorf("an unknown %s: %v", what, err)
		}
	}
	if _, err := r.Generate(t.Context(), ask("", "", 3), nil); err != nil { // a T5 reads the end of an empty text
		t.Error(err)
	}
}

func TestTextsEndWhenTheEngineStops(t *testing.T) {
	base := inferencetest.Base(t, "tiny", inferencetest.Llama(t))
	e, stop := inferencetest.Engine(t, devicetest.Go(t), base)
	var once sync.Once
	_, err := e.Generate(t.Context(), ask("once", "", 120), func(string) error { once.Do(func() { go stop() }); return nil })
	if err != nil && !errors.Is(err, inference.ErrBusy) {
		t.Errorf("%v, want ErrBusy or a text that was done before", err)
	}
	stop()
	if _, err := e.Generate(t.Context(), ask("once", "", 5), nil); !errors.Is(err, inference.ErrBusy) {
		t.Errorf("after the end: %v, want ErrBusy", err)
	}
}

func TestAVariantWrites(t *testing.T) {
	r := author(t, devicetest.Go(t), inferencetest.Llama(t))
	dir := inferencetest.Llama(t)
	files := map[string]adapters.File{}
	for name, b := range readFolder(t, dir) {
		f, err := r.registry.Put(t.Context(), bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = f
	}
	v, err := r.registry.Register(t.Context(), adapters.Version{Ref: adapters.Ref{Name: "whole"}, Kind: adapters.KindVariant, Base: "tiny", Files: files})
	if err != nil {
		t.Fatal(err)
	}
	want := r.generate(t, ask("once", "", 20))
	q := ask("once", "", 20)
	q.Model = "whole"
	g := r.generate(t, q)
	if g.Text != want.Text || g.Variant == nil || g.Variant.Name != "whole" || g.Model != "tiny" { // its weights are the base's
		t.Errorf("%q of %v, want %q", g.Text, g.Variant, want.Text)
	}
	if err := r.Unload(t.Context(), v); err != nil {
		t.Fatal(err)
	}
}
