package inference

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/adapters/safetensors"
)

// Merge asks for a new version of a name that is made of other adapters.
type Merge struct {
	Name     string
	Tenant   string   // whose name it is to be
	Adapters []string // "imdb" or "imdb@3", beside How.Parts, whose refs are filled in
	How      adapters.Merging
}

// mostMerged bounds the adapters in one merging, which are all in memory at once.
const mostMerged = 16

// merging bounds the work and the memory of mergings: one at a time, the others wait.
var merging = make(chan struct{}, 1)

// Merge makes one adapter of several of the same base and registers it, checked as any
// other.
func (e *Engine) Merge(ctx context.Context, m Merge) (adapters.Version, error) {
	if n := len(m.Adapters); n < 2 || n > mostMerged {
		return adapters.Version{}, invalid.Field("adapters", "merging takes between 2 and %d adapters, not %d", mostMerged, n)
	}
	if err := m.How.Check(); err != nil {
		return adapters.Version{}, err
	}
	select {
	case merging <- struct{}{}:
		defer func() { <-merging }()
	case <-ctx.Done():
		return adapters.Version{}, ctx.Err()
	}
	var s *served
	var parts []*adapters.Adapter
	var errs []error
	for i, ref := range m.Adapters {
		v, err := e.Registry.Resolve(ctx, ref)
		if err != nil {
			return v, err
		}
		m.How.Parts[i].Ref = v.Ref
		base, err := e.baseOf(v)
		at := fmt.Sprintf("adapters[%d]", i)
		switch {
		case v.Kind != adapters.KindAdapter:
			errs = append(errs, invalid.Field(at, "%s is a full fine-tune, which has no factors to merge", v.Ref))
		case err != nil:
			return v, err
		case s != nil && s != base:
			errs = append(errs, invalid.Field(at, "%s is for base %s, the first is for %s", v.Ref, v.Base, s.name))
		default:
			s = base
			if err := s.base.fits(v); err != nil {
				return v, err
			}
			a, err := e.Registry.Open(ctx, v, s.base.Layout)
			if err != nil {
				return v, err
			}
			parts = append(parts, a)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return adapters.Version{}, err
	}
	made, err := adapters.Merge(ctx, m.How, parts, s.base.Layout)
	if err != nil {
		return adapters.Version{}, err
	}
	made.Meta.BaseDigest = s.base.Digest
	var file bytes.Buffer
	tensors, meta := made.Tensors()
	if err := safetensors.Write(&file, tensors, meta); err != nil {
		return adapters.Version{}, err
	}
	names := make([]string, len(m.How.Parts))
	for i, p := range m.How.Parts {
		names[i] = p.Ref.String()
	}
	return e.Import(ctx, Import{Name: m.Name, Model: s.name, Source: "merge:" + strings.Join(names, "+"), Tenant: m.Tenant, Merged: &m.How,
		Config: made.Config.Marshal(), Weights: bytes.NewReader(file.Bytes()), Size: int64(file.Len())})
}
