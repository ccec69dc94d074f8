package inference

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/adapters/safetensors"
	"lorikeet/inference/nn"
	"lorikeet/inference/prompt"
)

// Import is an adapter that comes from outside: the two files of a PEFT folder.
type Import struct {
	Name    string // to register it under
	Model   string // the base it is for
	Source  string // where it came from, for the record
	Tenant  string // whose name it is to be; empty: the default tenant
	Config  []byte // adapter_config.json
	Weights io.ReaderAt
	Size    int64             // bytes of Weights
	Merged  *adapters.Merging // of what it was made; nil: it was trained
	// Calibration is adapters.CalibrationFile; nil: none.
	Calibration []byte
	Metrics     map[string]float64
	Once        bool // do nothing when the name's current version has these contents
}

// Import checks an adapter against its base, prepares it as a request would, and
// only then registers it: what is registered can be served.
func (e *Engine) Import(ctx context.Context, in Import) (adapters.Version, error) {
	var v adapters.Version
	s := e.base(in.Model)
	errs := []error{adapters.CheckName("name", in.Name)}
	if s == nil {
		errs = append(errs, invalid.Field("model", "%q is not a base; bases: %s", in.Model, e.names()))
	} else if e.base(in.Name) != nil {
		errs = append(errs, invalid.Field("name", "%q is the name of a base", in.Name))
	} else {
		errs = append(errs, e.Registry.Admits(ctx, in.Name, in.Model, adapters.KindAdapter), e.Registry.Owns(ctx, in.Tenant, in.Name))
	}
	if err := errors.Join(errs...); err != nil {
		return v, err
	}
	if in.Size > maxAdapterBytes {
		return v, invalid.Field(adapters.WeightsFile, "is %d bytes, at most %d are taken", in.Size, int64(maxAdapterBytes))
	}
	file, err := safetensors.Open(in.Weights, in.Size)
	if err != nil {
		return v, err
	}
	a, err := adapters.Read(in.Config, file, s.base.Layout)
	if err != nil {
		return v, err
	}
	if in.Calibration != nil {
		if _, err := adapters.ParseCalibration(in.Calibration); err != nil {
			return v, err
		}
	}
	p, err := e.check(s.base, a)
	if err != nil {
		return v, err
	}
	config, err := e.Registry.Put(ctx, bytes.NewReader(in.Config))
	if err != nil {
		return v, err
	}
	weights, err := e.Registry.Put(ctx, io.NewSectionReader(in.Weights, 0, in.Size))
	if err != nil {
		return v, err
	}
	labels := p.Labels
	if labels == nil {
		labels = s.base.Facts().Labels
	}
	v = adapters.Version{Ref: adapters.Ref{Name: in.Name}, Kind: adapters.KindAdapter,
		Base: in.Model, BaseDigest: s.base.Digest, Rank: a.Rank(), Targets: a.Targets(), Labels: labels, Template: a.Meta.Template,
		Files:   map[string]adapters.File{adapters.ConfigFile: config, adapters.WeightsFile: weights},
		Metrics: in.Metrics, Source: in.Source, Tenant: in.Tenant, Origin: s.base.Origin(string(p.Problem), ""), CreatedAt: time.Now()}
	v.Origin.Merged = in.Merged
	if in.Calibration != nil {
		if v.Files[adapters.CalibrationFile], err = e.Registry.Put(ctx, bytes.NewReader(in.Calibration)); err != nil {
			return v, err
		}
	}
	if in.Once {
		if old, err := e.Registry.Resolve(ctx, in.Name); err == nil && old.Base == v.Base && maps.Equal(old.Files, v.Files) {
			return old, nil
		}
	}
	return e.Registry.Register(ctx, v)
}

// maxAdapterBytes bounds the files of an adapter; a rank-64 adapter on every linear
// layer of a 7 B model takes about 640 MB.
const maxAdapterBytes = 2 << 30

// check refuses what cannot be served on this base, with the reason.
func (e *Engine) check(b *Base, a *adapters.Adapter) (*Prepared, error) {
	if r := a.Rank(); r > e.MaxRank {
		return nil, invalid.Field("r", "is %d; this server serves ranks up to %d (see --max-rank)", r, e.MaxRank)
	}
	if d := a.Meta.BaseDigest; d != "" && d != b.Digest {
		return nil, fmt.Errorf("%w: its file says %s, base %s is %s", ErrWrongBase, short(d), b.Name, short(b.Digest))
	}
	if !sameRepository(a.Config.BaseModel, b.Source) {
		return nil, fmt.Errorf("%w: base_model_name_or_path is %q, base %s was loaded from %q", ErrWrongBase, a.Config.BaseModel, b.Name, b.Source)
	}
	if _, err := prompt.Named(a.Meta.Template, b.Chat); err != nil {
		return nil, fmt.Errorf("%s: %w", adapters.WeightsFile, err)
	}
	p, err := b.Prepare(adapters.Ref{}, a)
	if err != nil {
		return nil, err
	}
	if p.Pages >= e.Slots {
		return nil, invalid.Field("r", "rank %d takes %d slots of rank %d, the bank has %d (see --slots)", a.Rank(), p.Pages, nn.PageRank, e.Slots-1)
	}
	return p, e.writable(b, p)
}

// writable refuses what a base that writes texts has no room or graph for.
func (e *Engine) writable(b *Base, p *Prepared) error {
	if p.Profile.Embed && b.Seq2Seq != nil {
		return invalid.Field("target_modules", "names the embedding that encoder and decoder of %s share; factors there are not served", b.Name)
	}
	if !p.Profile.Heads {
		return nil
	}
	for _, m := range b.Layout {
		if n := 4 * int64(e.Slots) * int64(m.In) * int64(m.Out); m.Kind == adapters.Output && n > maxOutputBank {
			return invalid.Field("modules_to_save", "has %s, %d by %d: a copy for each of the %d slots would take %d MiB, at most %d are held (see --slots)",
				m.Path, m.In, m.Out, e.Slots, n>>20, maxOutputBank>>20)
		}
	}
	return nil
}

const maxOutputBank = 1 << 30

// sameRepository compares two hub repositories, when both are known to be such. A
// local path proves nothing either way.
func sameRepository(trained, source string) bool {
	repo, fromHub := strings.CutPrefix(source, "hf:")
	if !fromHub || strings.Count(trained, "/") != 1 || strings.HasPrefix(trained, ".") || strings.HasPrefix(trained, "/") {
		return true
	}
	repo, _, _ = strings.Cut(repo, "@")
	return strings.EqualFold(repo, trained)
}
