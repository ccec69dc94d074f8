//go:build unix

package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"lorikeet/adapters"
	"lorikeet/inference"
)

// spoiler brings in adapters that are bad, each in its way, and checks that each is
// refused for it, while the others are asked as ever.
type spoiler struct {
	*storm
	r     *rand.Rand
	base  *inference.Base
	store string // its folder
	n     int
}

func (s *spoiler) run(ctx context.Context, over <-chan struct{}) {
	kinds := []func(context.Context){s.truncated, s.garbage, s.foreign, s.nan, s.huge, s.flipped}
	var last int64
	for i := 0; s.turn(ctx, over, &last, spoilTurns); i++ {
		kinds[i%len(kinds)](ctx)
	}
}

func (s *spoiler) replica() *process { return s.replicas[s.r.IntN(len(s.replicas))] }

// refuses sends a bad adapter, which must be refused with 422.
func (s *spoiler) refuses(ctx context.Context, what string, f files, err error) {
	if err != nil {
		s.failed(ctx, "%s: %v", what, err)
		return
	}
	_, err = register(ctx, s.client, s.replica(), "bad", f)
	if status(err) != http.StatusUnprocessableEntity {
		s.wrong("an adapter that is bad (%s) is answered with %v", what, err)
		return
	}
	s.count("refused: " + what)
}

func (s *spoiler) truncated(ctx context.Context) {
	f, err := draw(s.r, s.base, nil)
	if err == nil {
		f.weights = f.weights[:s.r.IntN(len(f.weights))]
	}
	s.refuses(ctx, "truncated", f, err)
}

// garbage cuts the configuration, or fills the header of the weights with noise.
func (s *spoiler) garbage(ctx context.Context) {
	f, err := draw(s.r, s.base, nil)
	if err == nil && s.r.IntN(2) == 0 {
		f.config = f.config[:len(f.config)/2]
	} else if err == nil {
		for i := range 64 {
			f.weights[8+i] = byte(s.r.Uint32())
		}
	}
	s.refuses(ctx, "garbage", f, err)
}

func (s *spoiler) foreign(ctx context.Context) {
	f, err := draw(s.r, s.base, func(a *adapters.Adapter) { a.Meta.BaseDigest = "sha256:" + strings.Repeat("0", 64) })
	s.refuses(ctx, "of another base", f, err)
}

func (s *spoiler) nan(ctx context.Context) {
	f, err := draw(s.r, s.base, func(a *adapters.Adapter) { fill(a, float32(math.NaN())) })
	s.refuses(ctx, "NaN", f, err)
}

// fill sets one factor of one module to x: the whole of it.
func fill(a *adapters.Adapter, x float32) {
	for _, f := range a.Factors {
		for i := range f.B {
			f.B[i] = x
		}
		return
	}
}

// huge is finite, so that it is taken, and gives no finite scores: that is refused to
// whoever asks for it, alone and beside others.
func (s *spoiler) huge(ctx context.Context) {
	f, err := draw(s.r, s.base, func(a *adapters.Adapter) {
		for path := range a.Saved {
			d := a.Saved[path]
			for i := range d.Weight {
				d.Weight[i] = math.MaxFloat32
			}
		}
	})
	name := s.next("huge")
	p := s.replica()
	if err == nil {
		_, err = register(ctx, s.client, p, name, f)
	}
	if err != nil {
		s.failed(ctx, "an adapter of huge weights: %v", err)
		return
	}
	for _, body := range []map[string]any{
		{"model": baseName, "adapter": name, "inputs": texts[0]},
		{"model": baseName, "inputs": texts[:3], "adapters": []any{nil, name, nil}},
	} {
		s.expect(ctx, p, "no finite scores", body, http.StatusUnprocessableEntity, "invalid")
	}
	s.forget(ctx, p, name)
}

// flipped damages a file in the store after it was registered: asking for that version
// is an error that says so, until the same files are registered again.
func (s *spoiler) flipped(ctx context.Context) {
	f := s.oracle.pool[s.r.IntN(len(s.oracle.pool))]
	f.config = append([]byte("\n"), f.config...) // a blob, and a digest, of its own
	f.config = fmt.Appendf(f.config, "%*s\n", s.n+1, "")
	name := s.next("flipped")
	p := s.replica()
	v, err := register(ctx, s.client, p, name, f)
	if err != nil {
		s.failed(ctx, "register %s: %v", name, err)
		return
	}
	sum := strings.TrimPrefix(v.Files[adapters.ConfigFile].Digest, "sha256:")
	path := filepath.Join(s.store, "blobs", "sha256", sum[:2], sum)
	blob, err := os.ReadFile(path)
	if err == nil {
		blob[s.r.IntN(len(blob))] ^= 1 << s.r.IntN(8)
		err = os.WriteFile(path, blob, 0o600) //nolint:gosec // a blob of the store that this program made
	}
	if err != nil {
		s.failed(ctx, "flip a bit: %v", err)
		return
	}
	body := map[string]any{"model": baseName, "adapter": name, "inputs": texts[0]}
	for _, p := range s.replicas {
		s.expect(ctx, p, "a flipped bit in the store", body, http.StatusInternalServerError, "adapter_corrupt")
	}
	if _, err := register(ctx, s.client, p, name, f); err != nil { // mends the file
		s.failed(ctx, "register %s again: %v", name, err)
	}
	s.expect(ctx, p, "mended", body, http.StatusOK, "")
	s.forget(ctx, p, name)
}

func (s *spoiler) next(kind string) string {
	s.n++
	return fmt.Sprintf("bad-%s-%d", kind, s.n)
}

// expect asks for scores and wants this status and code.
func (s *spoiler) expect(ctx context.Context, p *process, what string, body map[string]any, status int, code string) {
	r, err := call(ctx, s.client, http.MethodPost, p.url+"/predict", body)
	switch {
	case ctx.Err() != nil:
	case err != nil || r.status != status || r.problem().Code != code:
		s.wrong("%s: answered with %v %v, want %d %s", what, r, err, status, code)
	default:
		s.count("answered: " + what)
	}
}

func (s *spoiler) forget(ctx context.Context, p *process, name string) {
	r, err := call(ctx, s.client, http.MethodDelete, p.url+"/adapters/"+name, nil)
	if err != nil || r.status != http.StatusNoContent {
		s.failed(ctx, "delete %s: %v %v", name, r, err)
	}
}
