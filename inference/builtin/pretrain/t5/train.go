package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
)

// at is the learning rate when the given share of the time is over: up in the first
// part, then down a line to zero.
func (o options) at(done float64) float64 {
	const warm = 0.03
	if done < warm {
		return o.rate * done / warm
	}
	return o.rate * max(0, (1-done)/(1-warm))
}

// tally adds up the losses of the log's lines.
type tally struct {
	loss, tokens map[bool]float64 // of spans, and of tasks
	read         int
	norm         float64
	steps        int
}

func (t *tally) add(rows [][]example, lanes []lane, losses []float32, norm float64) {
	if t.loss == nil {
		t.loss, t.tokens = map[bool]float64{}, map[bool]float64{}
	}
	at := 0
	for i, l := range lanes {
		for j, e := range rows[i] {
			spans := e.task == "spans"
			t.loss[spans] += float64(losses[at+j])
			t.tokens[spans] += float64(len(e.target))
			t.read += len(e.source)
		}
		at += l.rows
	}
	t.norm += norm
	t.steps++
}

func (o options) train(ctx context.Context, l *learner, s *source) error {
	before, found, err := l.Load(o.state())
	if err != nil {
		return err
	}
	if found {
		fmt.Printf("resumed at step %d, %.0f s\n", l.Steps, before)
	}
	lessons := make(chan [][]example, 2) // made while the device computes
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func(step int) {
		for ; ; step++ {
			select {
			case lessons <- s.batch(step, l.lanes):
			case <-ctx.Done():
				return
			}
		}
	}(l.Steps)
	if err := l.compile(); err != nil {
		return err
	}
	start, saved := time.Now(), time.Now()
	seconds := func() float64 { return before + time.Since(start).Seconds() }
	var t tally
	for seconds() < o.minutes*60 && ctx.Err() == nil {
		rows := <-lessons
		rate := o.at(seconds() / (o.minutes * 60))
		losses, norm, err := l.learn(rows, rate)
		if err != nil {
			return err
		}
		t.add(rows, l.lanes, losses, norm)
		if l.Steps%50 == 0 || l.Steps == 1 {
			if err := t.print(l.Steps, seconds(), rate); err != nil {
				return err
			}
			t = tally{}
		}
		if time.Since(saved) > o.every {
			saved = time.Now()
			if err := o.save(l, seconds()); err != nil {
				return err
			}
		}
	}
	return o.save(l, seconds())
}

func (t *tally) print(step int, seconds, rate float64) error {
	line, err := json.Marshal(map[string]float64{"step": float64(step), "seconds": round(seconds), "rate": round(rate),
		"tasks": round(t.loss[false] / t.tokens[false]), "spans": round(t.loss[true] / t.tokens[true]), "norm": round(t.norm / float64(t.steps)),
		"read": float64(t.read) / float64(t.steps), "written": (t.tokens[false] + t.tokens[true]) / float64(t.steps)})
	if err == nil {
		fmt.Println(string(line))
	}
	return err
}

func round(v float64) float64 {
	if math.IsNaN(v) { // nothing of a kind since the last line
		return -1
	}
	return math.Round(v*1e4) / 1e4
}

func (o options) save(l *learner, seconds float64) error {
	return errors.Join(l.Save(o.state(), seconds), l.export(o.model()))
}
