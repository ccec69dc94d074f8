package main

import (
	"errors"
	"fmt"
	"time"
)

// player is a side of a case: round gives one measurement. settle, if there is one, is
// called once the player has run for the first time, and waits for whatever that set off.
type player struct {
	name   string
	round  func() (float64, error)
	settle func() error
}

// between is the pause after each side's turn: threads that spin while they wait for
// work (OpenMP's, ONNX Runtime's) have gone to sleep by then.
const between = 100 * time.Millisecond

// A turn of all sides that takes long is taken less often: a case has about caseTime,
// and fewest rounds at least. A first turn of over slowTurn needs no second to be warm,
// and a side that takes many times as long as ours is out of the running: it is measured
// in the first round alone.
const (
	caseTime = 40 * time.Second
	slowTurn = time.Second
	fewest   = 3
	tooSlow  = 4
)

// play lets the players take turns, after one or two that do not count, and reports what
// they measured. Ours is the first; its failure ends the run. A peer that fails is noted
// and left out.
func (b *bench) play(c testCase, players []player) error {
	if !b.wants(c.Group, c.Name) {
		return nil
	}
	out := make([]bool, len(players))
	once := make([]bool, len(players))
	c.Sides = make([]side, len(players))
	turn := func(i int) (float64, time.Duration, error) {
		time.Sleep(pick(b.options, 0, between))
		start := time.Now()
		v, err := players[i].round()
		return v, time.Since(start), err
	}
	var all, mine time.Duration
	for i, p := range players {
		c.Sides[i].Name = p.name
		_, took, err := turn(i)
		if err == nil && p.settle != nil {
			err = p.settle()
		}
		slow := tooSlow * max(mine, slowTurn)
		if err == nil && (p.settle != nil || took < slowTurn || took > slow && i > 0) {
			_, took, err = turn(i)
		}
		if err != nil {
			if i == 0 || b.ctx.Err() != nil {
				return fmt.Errorf("%s: %w", c.Name, errors.Join(b.ctx.Err(), err))
			}
			out[i], c.Sides[i].Note = true, "not measured: "+err.Error()
			continue
		}
		if i == 0 {
			mine = took
		}
		if once[i] = i > 0 && took > slow; !once[i] {
			all += took
		}
	}
	rounds := min(b.rounds, max(fewest, int(caseTime/max(all, time.Millisecond))))
	var err error
	c.Others, err = b.undisturbed(c.Name, func() (func(), error) {
		values := make([][]float64, len(players))
		for round := range rounds {
			for i := range players {
				if out[i] || once[i] && round > 0 {
					continue
				}
				v, _, err := turn(i)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", c.Name, players[i].name, err)
				}
				values[i] = append(values[i], v)
			}
		}
		return func() {
			for i := range values {
				c.Sides[i].Values = values[i]
			}
		}, nil
	})
	if err != nil {
		return err
	}
	b.report.add(c)
	return nil
}

// repeats is how often a call that takes so long is made in one turn.
func repeats(seconds float64) int {
	const turn = 0.25
	return min(max(int(turn/max(seconds, 1e-4)), 1), 200)
}

// timedBy is a player whose side is told a request with its number of repetitions, and
// answers with the seconds of one. A call of one repetition decides how many, and the first of
// each turn does not count.
func timedBy(name string, ask func(repeat int) (seconds float64, err error)) player {
	repeat := 0
	return player{name: name, round: func() (float64, error) {
		// The first call compiles; that of each turn brings back what the machine has put aside.
		s, err := ask(1)
		if err != nil || repeat == 0 {
			repeat = 1
			return s * 1000, err
		}
		if repeat == 1 {
			if s, err = ask(1); err != nil {
				return 0, err
			}
			repeat = repeats(s)
		}
		s, err = ask(repeat)
		return s * 1000, err
	}}
}
