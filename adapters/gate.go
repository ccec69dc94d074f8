package adapters

import "fmt"

// Gate is what decided whether a version became the current one of its name: candidate,
// current version and base, scored on the same rows held back. A version that did not pass
// is served under its number alone, until a rollback to it makes it current.
type Gate struct {
	Promoted  bool     `json:"promoted" example:"false"`
	Reason    string   `json:"reason" example:"eval_accuracy is 0.91; imdb@3 has 0.93 on the same rows"`
	If        string   `json:"if" example:"eval_accuracy"`
	MinDelta  float64  `json:"min_delta" example:"0"`
	Than      string   `json:"than" example:"current" enums:"current,base"`
	Candidate float64  `json:"candidate" example:"0.91"`
	Current   *float64 `json:"current,omitempty" example:"0.93"`      // nil: there was none, or it could not be scored
	Version   int      `json:"current_version,omitempty" example:"3"` // the version that was current; 0: none
	Base      *float64 `json:"base,omitempty" example:"0.5"`          // nil: it has no head for these labels
} // @name Gate

// What a candidate is compared with.
const (
	ThanCurrent = "current"
	ThanBase    = "base"
)

// held reports whether a version did not pass its gate.
func (v Version) held() bool { return v.Gate != nil && !v.Gate.Promoted }

// overtaken holds a version back whose gate compared it with one that is no longer
// current: another job was faster, and nobody compared the two. mu is held.
func (s *series) overtaken(v Version) Version {
	g := v.Gate
	if g == nil || !g.Promoted || g.Than != ThanCurrent || s.current == g.Version {
		return v
	}
	late := *g
	late.Promoted = false
	late.Reason = fmt.Sprintf("%s@%d became current while this was trained, and was not compared with it; before, it passed: %s", v.Name, s.current, g.Reason)
	v.Gate = &late
	return v
}
