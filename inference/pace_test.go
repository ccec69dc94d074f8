package inference

import (
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestPace(t *testing.T) {
	var p pace
	if p.lasts(1000) != 0 {
		t.Error("a pace that is not known says how long work takes")
	}
	p.note(100, time.Second, false)
	p.note(50, time.Second, false) // little work came
	if p.lasts(200) != 2*time.Second {
		t.Errorf("200 last %v", p.lasts(200))
	}
	p.note(400, time.Second, false)
	if p.perSecond != 400 {
		t.Errorf("what has been done cannot be done: %v", p.perSecond)
	}
	for range 20 {
		p.note(100, time.Second, true)
	}
	if math.Abs(p.perSecond-100) > 1 {
		t.Errorf("with more waiting the pace is still %v", p.perSecond)
	}
	p.note(0, time.Second, true) // a batch that failed
	if math.Abs(p.perSecond-100) > 1 {
		t.Errorf("a failure counts: %v", p.perSecond)
	}
	if tiny := (pace{1e-9}); tiny.lasts(1e9) != time.Hour {
		t.Errorf("work without end lasts %v", tiny.lasts(1e9))
	}
}

// Requests that come at twice the pace of the device are refused so that the others do
// not wait longer than was promised, whatever the device was measured to do before.
func TestNoTextWaitsLongerThanPromised(t *testing.T) {
	for name, measured := range map[string]float64{"nothing was measured": 0, "what it does was measured": 3200, "twice of it was": 6400, "half of it was": 1600, "next to nothing was": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const batch = 16 // texts of 16 tokens, in 80 ms: 3200 tokens a second
				m := &served{programs: &programs{grid: grid(16, 256)}}
				q := newQueue(1e6, 2*time.Second)
				if measured > 0 {
					q.expect(m, measured)
				}
				refused, ran, longest := 0, 0, time.Duration(0)
				go func() { // the device
					for range 60 * 1000 / 80 {
						items := q.next()
						if items == nil {
							time.Sleep(time.Millisecond)
							continue
						}
						if len(items) > batch {
							t.Errorf("a batch of %d", len(items))
						}
						for _, it := range items {
							longest = max(longest, time.Since(it.since))
						}
						time.Sleep(80 * time.Millisecond)
						ran += len(items)
						q.ran(m, 16*len(items))
					}
				}()
				for range 400 * 60 { // 400 texts a second come, 200 are done
					time.Sleep(time.Second / 400)
					it := waiting(t.Context(), m, 16)
					it.since = time.Now()
					if err := q.push([]*item{it}); err != nil {
						var hint interface{ RetryAfter() time.Duration }
						if !errors.Is(err, ErrBusy) || !errors.As(err, &hint) || hint.RetryAfter() <= 0 || !errors.Is(q.admits(), ErrBusy) {
							t.Fatalf("refused with %v", err)
						}
						refused++
					}
				}
				synctest.Wait()
				if longest > 3*time.Second {
					t.Errorf("a text waited %v, promised were 2 s", longest)
				}
				if ran < 11000 { // of 12,000 that can be
					t.Errorf("%d texts were run and %d refused", ran, refused)
				}
			})
		})
	}
}

// A burst that is soon done is taken whole, however little came before.
func TestABurstAfterQuietIsTaken(t *testing.T) {
	m := &served{programs: &programs{grid: grid(16, 256)}}
	q := newQueue(1e6, time.Second)
	q.expect(m, 3200)
	for range 100 { // single texts, each in its own time: 16 tokens in 50 ms
		if err := q.push([]*item{waiting(t.Context(), m, 16)}); err != nil {
			t.Fatal(err)
		}
		q.next()
		q.from = time.Now().Add(-50 * time.Millisecond)
		q.ran(m, 16)
	}
	for i := range 180 { // 2880 tokens
		if err := q.push([]*item{waiting(t.Context(), m, 16)}); err != nil {
			t.Fatalf("text %d: %v", i, err)
		}
	}
	if err := q.push([]*item{waiting(t.Context(), m, 16), waiting(t.Context(), m, 16)}); err != nil {
		t.Fatalf("as much as waits a second: %v", err)
	}
	for range 30 {
		_ = q.push([]*item{waiting(t.Context(), m, 16)})
	}
	if err := q.push([]*item{waiting(t.Context(), m, 1)}); !errors.Is(err, ErrBusy) {
		t.Errorf("one more: %v", err)
	}
}

// One request may be longer than what may wait: it is for nobody else to say how long
// that is.
func TestALargeRequestIsTakenWhenNothingWaits(t *testing.T) {
	m := &served{programs: &programs{grid: grid(16, 256)}}
	q := newQueue(1e6, time.Second)
	q.expect(m, 1)
	var many []*item
	for range 256 {
		many = append(many, waiting(t.Context(), m, 16))
	}
	if err := q.push(many); err != nil {
		t.Fatal(err)
	}
	err := q.push(many[:1])
	var b *busy
	if !errors.As(err, &b) || b.RetryAfter() < 3000*time.Second {
		t.Errorf("behind it: %v", err)
	}
}

func TestTextsWaitForTheRowsOfOthers(t *testing.T) {
	w := &writer{cache: &deviceCache{}, engine: &Engine{Options: Options{MaxWaiting: 1000, MaxWait: 2 * time.Second}}}
	d := func() *draft { return &draft{beams: 1, most: 100} }
	for i := range 32 { // nothing is known, and there are rows
		if err := w.admits(1); err != nil {
			t.Fatalf("text %d: %v", i, err)
		}
		w.live = append(w.live, d())
		w.load.rows++
	}
	// All rows are taken; each step takes 10 ms.
	w.tight = true
	for range 100 {
		w.began = time.Now().Add(-10 * time.Millisecond)
		w.note(32)
	}
	if p := w.load.pace.perSecond; p < 2000 || p > 3300 {
		t.Fatalf("the pace is %v, want a little less than 3200", p)
	}
	if err := w.admits(1); err != nil { // a row is free after 100 steps, a second
		t.Errorf("the first to wait: %v", err)
	}
	for range 100 {
		w.waiting = append(w.waiting, d()) // 10,000 tokens: three seconds more
	}
	if err := w.admits(1); !errors.Is(err, ErrBusy) {
		t.Errorf("behind a hundred others: %v", err)
	}
	for range 200 { // texts turn out short
		w.over(&draft{beams: 1, most: 100, written: 5})
	}
	w.note(32)
	if err := w.admits(1); err != nil {
		t.Errorf("behind a hundred short ones: %v", err)
	}
	w.waiting = nil
	w.live[0].written = 0
	w.load.first = time.Minute
	w.live = nil
	w.idle() // everybody left
	if err := w.admits(32); err != nil {
		t.Errorf("with all rows free: %v", err)
	}
}
