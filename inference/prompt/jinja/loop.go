package jinja

// round is the variable loop in a round of a loop.
type round struct {
	items   []value
	at      int
	changed []value // what loop.changed was last asked about
}

func (l loop) exec(s *state) leave {
	s.line = l.line
	over := s.eval(l.over)
	all := s.iterate(over)
	if l.where != nil {
		all = s.chosen(l, all)
	}
	r := &round{items: all}
	for i := range all {
		s.step(4) // a scope takes longer than other steps
		r.at = i
		vars := map[string]value{"loop": r}
		s.assign(l.into, all[i], vars)
		if s.within(s.scope, vars, l.body) == leaveLoop {
			return stay
		}
	}
	if len(all) == 0 {
		return s.within(s.scope, map[string]value{}, l.none)
	}
	return stay
}

// chosen keeps the items for which the loop's condition holds.
func (s *state) chosen(l loop, all []value) []value {
	outer := s.scope
	defer func() { s.scope = outer }()
	var kept []value
	for _, item := range all {
		s.step(4)
		vars := map[string]value{}
		s.assign(l.into, item, vars)
		s.scope = &scope{vars, outer}
		if truth(s.eval(l.where)) {
			kept = append(kept, item)
		}
	}
	return kept
}

func (r *round) attr(name string) value {
	n := len(r.items)
	neighbour := func(i int) value {
		if i < 0 || i >= n {
			return undefined{"loop." + name}
		}
		return r.items[i]
	}
	switch name {
	case "index":
		return int64(r.at + 1)
	case "index0":
		return int64(r.at)
	case "revindex":
		return int64(n - r.at)
	case "revindex0":
		return int64(n - r.at - 1)
	case "first":
		return r.at == 0
	case "last":
		return r.at == n-1
	case "length":
		return int64(n)
	case "depth": // of recursive loops, which there are none of
		return int64(1)
	case "depth0":
		return int64(0)
	case "previtem":
		return neighbour(r.at - 1)
	case "nextitem":
		return neighbour(r.at + 1)
	case "cycle":
		return &function{"loop.cycle", func(_ *state, a args) value {
			if len(a.pos) == 0 {
				fail("loop.cycle needs arguments")
			}
			return a.pos[r.at%len(a.pos)]
		}}
	case "changed":
		return &function{"loop.changed", func(s *state, a args) value {
			same := r.changed != nil && s.equal(&list{items: r.changed}, &list{items: a.pos})
			r.changed = append([]value{}, a.pos...)
			return !same
		}}
	}
	return undefined{"loop." + name}
}
