package arch

import (
	"errors"
	"maps"

	"lorikeet/adapters/invalid"
	"lorikeet/inference/nn"
)

// rope is how config.json tells the rotary embedding. transformers 4 has rope_theta
// and rope_scaling, the kind called type in older files; transformers 5 has all of it
// in rope_parameters.
type rope struct {
	Theta   float64      `json:"rope_theta"`
	Scaling *ropeScaling `json:"rope_scaling"`
	New     *ropeScaling `json:"rope_parameters"`
}

type ropeScaling struct {
	Kind    string  `json:"rope_type"`
	OldKind string  `json:"type"`
	Theta   float64 `json:"rope_theta"`
	Factor  float64 `json:"factor"`
	Low     float64 `json:"low_freq_factor"`
	High    float64 `json:"high_freq_factor"`
	Trained float64 `json:"original_max_position_embeddings"`
	Partial float64 `json:"partial_rotary_factor"`
}

// settings brings the layouts together.
func (r rope) settings() ropeScaling {
	s := ropeScaling{}
	switch {
	case r.New != nil:
		s = *r.New
	case r.Scaling != nil:
		s = *r.Scaling
	}
	if s.Kind == "" {
		s.Kind = s.OldKind
	}
	if s.Kind == "" {
		s.Kind = "default"
	}
	if s.Theta == 0 {
		s.Theta = r.Theta
	}
	if s.Theta == 0 {
		s.Theta = 10000
	}
	return s
}

func (r rope) check() error {
	s := r.settings()
	var errs []error
	above := map[string]float64{"rope_theta": s.Theta}
	switch s.Kind {
	case "default":
	case "linear":
		above["factor"] = s.Factor
	case "llama3":
		maps.Copy(above, map[string]float64{"factor": s.Factor, "low_freq_factor": s.Low, "original_max_position_embeddings": s.Trained})
		if s.High <= s.Low {
			errs = append(errs, invalid.Field("high_freq_factor", "is %v, must be above low_freq_factor %v", s.High, s.Low))
		}
	default:
		errs = append(errs, invalid.Field("rope_type", "%q is not supported; known: default, linear, llama3", s.Kind))
	}
	for name, v := range above {
		if v <= 0 {
			errs = append(errs, invalid.Field(name, "the rotary embedding needs %s above 0, config.json has %v", name, v))
		}
	}
	if s.Partial != 0 && s.Partial != 1 {
		errs = append(errs, invalid.Field("partial_rotary_factor", "is %v; only whole heads are rotated", s.Partial))
	}
	return errors.Join(errs...)
}

// frequencies are those of a head of this many dimensions.
func (r rope) frequencies(dim int) []float32 {
	s := r.settings()
	f := nn.Frequencies(s.Theta, dim)
	switch s.Kind {
	case "linear": // positions are divided, which is the same
		for i := range f {
			f[i] /= float32(s.Factor)
		}
	case "llama3":
		f = nn.Stretch(f, s.Factor, s.Low, s.High, s.Trained)
	}
	return f
}
