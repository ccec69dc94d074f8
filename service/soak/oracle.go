//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"

	"lorikeet/inference"
)

// tolerance of a score: batches of other shapes add up in another order.
const tolerance = 1e-4

// apart is how far the scores of two adapters are apart at least, so that one cannot
// pass for another.
const apart = 100 * tolerance

// texts are asked about. Their lengths differ, so that batches are padded.
var texts = []any{
	"Great phone.",
	"The soup was cold and the waiter was rude.",
	"I have waited three weeks for this order, and when it came at last, half of it was missing and the other half was broken.",
	"It is fine for the price, although the battery does not last.",
	map[string]string{"text": "A man is playing a flute.", "text_pair": "Someone makes music."},
	"Never again.",
}

// oracle knows what each adapter answers to each text: it was asked of a service that
// did nothing else. It does not change once it is made.
type oracle struct {
	pool   []files             // adapters
	digest []string            // of each
	scores map[string][]answer // by digest, "" for the bare base; for each text
}

// answer is the scores of a text, by label, in the order of the service.
type answer struct {
	labels []string
	scores []float64
}

// newOracle makes so many adapters at random and has a service of its own score the
// texts with each of them, one at a time.
func newOracle(ctx context.Context, s *site, r *rand.Rand, base *inference.Base, size int, args []string) (*oracle, error) {
	p, err := s.start("reference", args...)
	if err != nil {
		return nil, err
	}
	if err := s.ready(ctx, p); err != nil {
		return nil, err
	}
	o := &oracle{scores: map[string][]answer{}}
	c := newClient(1)
	if o.scores[""], err = ask(ctx, c, p, nil); err != nil {
		return nil, err
	}
	for len(o.pool) < size {
		f, err := draw(r, base, nil)
		if err != nil {
			return nil, err
		}
		v, err := register(ctx, c, p, fmt.Sprintf("reference-%d", len(o.pool)), f)
		if err != nil {
			return nil, err
		}
		said, err := ask(ctx, c, p, v.Name)
		if err != nil {
			return nil, err
		}
		if o.unlike(said) {
			o.pool, o.digest = append(o.pool, f), append(o.digest, v.Digest)
			o.scores[v.Digest] = said
		}
		if len(o.pool)%16 == 0 {
			s.c.say("%d adapters made", len(o.pool))
		}
	}
	if _, err := p.stop(stopWithin); err != nil {
		return nil, err
	}
	return o, nil
}

// ask scores every text with one adapter, nil for the bare base.
func ask(ctx context.Context, c *http.Client, p *process, adapter any) ([]answer, error) {
	var all []answer
	for _, text := range texts {
		r, err := call(ctx, c, http.MethodPost, p.url+"/predict", map[string]any{"model": baseName, "adapter": adapter, "inputs": []any{text}})
		if err != nil {
			return nil, err
		}
		var got prediction
		if err := json.Unmarshal(r.body, &got); err != nil || r.status != http.StatusOK || len(got.Results) != 1 {
			return nil, fmt.Errorf("the reference answers %v", r)
		}
		all = append(all, got.Results[0].answer())
	}
	return all, nil
}

func (s scored) answer() answer {
	var a answer
	for _, score := range s.Scores {
		a.labels, a.scores = append(a.labels, score.Label), append(a.scores, score.Score)
	}
	return a
}

// unlike reports whether answers differ from all others, for every text.
func (o *oracle) unlike(said []answer) bool {
	for _, known := range o.scores {
		for i := range said {
			if said[i].distance(known[i]) < apart {
				return false
			}
		}
	}
	return true
}

// distance is the largest difference of two scores, infinite where the labels differ.
func (a answer) distance(b answer) float64 {
	if len(a.labels) != len(b.labels) {
		return math.Inf(1)
	}
	far := 0.0
	for i := range a.labels {
		if a.labels[i] != b.labels[i] {
			return math.Inf(1)
		}
		far = max(far, math.Abs(a.scores[i]-b.scores[i]))
	}
	return far
}

// check compares the answer to a text with what the digest that it names must answer.
func (o *oracle) check(digest string, text int, got scored) error {
	want, ok := o.scores[digest]
	if !ok {
		return fmt.Errorf("names the digest %.19s, which nobody registered", digest)
	}
	a := got.answer()
	if d := a.distance(want[text]); !(d <= tolerance) {
		return fmt.Errorf("names the digest %.19s, whose scores are %v; these are %v, as %s", digest, want[text], a, o.whose(text, a))
	}
	return nil
}

// whose finds the adapter that does answer so.
func (o *oracle) whose(text int, a answer) string {
	for digest, known := range o.scores {
		if known[text].distance(a) <= tolerance {
			if digest == "" {
				return "the bare base"
			}
			return digest
		}
	}
	return "nobody"
}

// register brings an adapter in.
func register(ctx context.Context, c *http.Client, p *process, name string, f files) (version, error) {
	var v version
	body, err := importForm(name, f)
	if err != nil {
		return v, err
	}
	r, err := call(ctx, c, http.MethodPost, p.url+"/adapters", body)
	if err != nil {
		return v, err
	}
	if r.status != http.StatusCreated {
		return v, refused{r}
	}
	return v, json.Unmarshal(r.body, &v)
}

// refused is an answer that is an error.
type refused struct{ reply }

func (r refused) Error() string { return r.String() }

// status gives the status of a refusal, 0 for other errors.
func status(err error) int {
	var r refused
	if errors.As(err, &r) {
		return r.status
	}
	return 0
}
