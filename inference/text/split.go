package text

import "lorikeet/adapters/invalid"

// cutter cuts text where a pattern matches.
type cutter struct {
	at       pattern
	behavior behavior
	inverted bool // matches are what lies between matches
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

func (c cutter) split(p piece, yield func(piece) bool) bool {
	s := p.text
	out := func(start, end int) bool {
		return start >= end || yield(piece{s[start:end], p.head && start == 0})
	}
	if c.behavior == isolated { // the same for matches and what lies between
		done := 0
		ok := c.at.each(s, func(start, end int) bool {
			from := done
			done = end
			return out(from, start) && out(start, end)
		})
		return ok && out(done, len(s))
	}
	// from and to are the piece in hand, after says whether it ends in a match.
	from, to, after := 0, 0, false
	next := func(start, end int, match bool) bool {
		if start == end {
			return true
		}
		join := false
		switch c.behavior {
		case removed:
			return match || out(start, end)
		case contiguous:
			join = match == after
		case mergedPrev:
			join = match && !after
		case mergedNext:
			join = !match && after
		}
		after = match
		if join {
			to = end
			return true
		}
		a, b := from, to
		from, to = start, end
		return out(a, b)
	}
	done := 0
	ok := c.at.each(s, func(start, end int) bool {
		gap := done
		done = end
		return next(gap, start, c.inverted) && next(start, end, !c.inverted)
	})
	return ok && next(done, len(s), c.inverted) && out(from, to)
}
