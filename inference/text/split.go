package text

import "lorikeet/adapters/invalid"

// cutter cuts text where a pattern matches.
type cutter struct {
	at       pattern
	behavior behavior
}

// behavior is what becomes of the matches.
type behavior uint8

const (
	isolated   behavior = iota // each is a piece
	removed                    // they are left out
	contiguous                 // those that touch are one piece
	mergedPrev                 // each ends the piece before it
	mergedNext                 // each begins the piece after it
)

func parseBehavior(name, field string) (behavior, error) {
	switch name {
	case "Isolated":
		return isolated, nil
	case "Removed":
		return removed, nil
	case "Contiguous":
		return contiguous, nil
	case "MergedWithPrevious":
		return mergedPrev, nil
	case "MergedWithNext":
		return mergedNext, nil
	}
	return 0, invalid.Field(field+".behavior", "%q is not supported", name)
}

// inverted matches what the pattern does not.
type inverted struct{ pattern }

func (p inverted) each(s string, yield func(start, end int) bool) bool {
	done := 0
	if !p.pattern.each(s, func(start, end int) bool {
		from := done
		done = end
		return from == start || yield(from, start)
	}) {
		return false
	}
	return done == len(s) || yield(done, len(s))
}

func (c cutter) split(p piece, yield func(piece) bool) bool {
	s := p.text
	out := func(start, end int) bool {
		return start >= end || yield(piece{s[start:end], p.head && start == 0})
	}
	// start is where the piece in hand begins, and end where it ends so far. Both
	// merging behaviors attach a match only if the stretch on that side is not a
	// match itself; two matches that touch stay apart.
	start, end, afterMatch := 0, 0, false
	ok := c.at.each(s, func(a, b int) bool {
		gap := a > end // unmatched text comes before this match
		switch c.behavior {
		case isolated:
			if !out(end, a) || !out(a, b) {
				return false
			}
		case removed:
			if !out(end, a) {
				return false
			}
		case contiguous:
			if gap {
				if !out(start, end) || !out(end, a) {
					return false
				}
				start = a
			}
		case mergedPrev:
			if gap {
				if !out(end, b) {
					return false
				}
			} else if !out(a, b) {
				return false
			}
		case mergedNext:
			if gap || afterMatch {
				if !out(start, a) {
					return false
				}
			}
			start = a
		}
		end, afterMatch = b, true
		return true
	})
	if !ok {
		return false
	}
	switch c.behavior {
	case contiguous:
		return out(start, end) && out(end, len(s))
	case mergedNext:
		return out(start, len(s))
	}
	return out(end, len(s))
}
