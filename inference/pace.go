package inference

import (
	"fmt"
	"math"
	"time"
)

// pace is how much is done in a second, as far as that is known: an average that
// forgets. What is done while more waits is a measure of it. What is done while nothing
// waits may be little for want of work, but shows that at least so much can be done.
type pace struct {
	perSecond float64 // 0: not known
}

// paceMemory is the time after which a measure counts for a third.
const paceMemory = 2 * time.Second

// note takes in that so much was done in this time; more: more waited.
func (p *pace) note(done float64, took time.Duration, more bool) {
	if done <= 0 || took <= 0 {
		return
	}
	switch rate := done / took.Seconds(); {
	case p.perSecond == 0, !more && rate > p.perSecond:
		p.perSecond = rate
	case more:
		p.perSecond += (rate - p.perSecond) * (1 - math.Exp(-took.Seconds()/paceMemory.Seconds()))
	}
}

// lasts is how long work takes, 0 where that is not known.
func (p *pace) lasts(work float64) time.Duration {
	if p.perSecond == 0 || work <= 0 {
		return 0
	}
	return time.Duration(min(work/p.perSecond, time.Hour.Seconds()) * float64(time.Second))
}

// busy is an ErrBusy that knows when there will be room.
type busy struct {
	wait, most time.Duration
}

func (b *busy) Error() string {
	return fmt.Sprintf("%v: a text would wait for about %.1f s, and more than %v is not promised", ErrBusy, b.wait.Seconds(), b.most)
}

// Unwrap makes it an ErrBusy.
func (b *busy) Unwrap() error { return ErrBusy }

// RetryAfter is when what waits now will have gone down to what is allowed.
func (b *busy) RetryAfter() time.Duration { return b.wait - b.most }

// within is nil where a wait is not longer than most, 0 being any.
func within(wait, most time.Duration) error {
	if most > 0 && wait > most {
		return &busy{wait, most}
	}
	return nil
}
