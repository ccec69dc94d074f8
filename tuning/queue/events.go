package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
	"lorikeet/tuning"
)

// eventID is "<step>-<sub>", which is also a Redis stream id. It follows from what
// happened, not from when or where it was told: the event of step 57 is 57-1 in every
// attempt. So steps that are run again after a crash have ids that are there
// already, and a client that shows a Last-Event-ID, even of a Redis that has lost its
// data, gets what comes after it once and without a gap.
type eventID struct{ step, sub int64 }

// The place of an event among those of its step. Events that come in another order
// get the next free number.
const (
	subQueued     = 1    // at step 0
	subStep       = 1    // the step's own
	subEval       = 100  // and up
	subCheckpoint = 200  // and up
	subResumed    = 1000 // what an attempt says before its first step
)

// overID is the id of the last event, which tells how the job ended: after all
// others, whoever writes it.
var overID = eventID{9_999_999_999_999, 0}

func (e eventID) String() string { return fmt.Sprintf("%d-%d", e.step, e.sub) }

func (e eventID) less(o eventID) bool {
	return e.step < o.step || e.step == o.step && e.sub < o.sub
}

func (e eventID) next() eventID { return eventID{e.step, e.sub + 1} }

// EventBefore reports whether the event with one id comes before that with another; ok:
// both are ids of events.
func EventBefore(id, other string) (before, ok bool) {
	a, ok1 := parseEventID(id)
	b, ok2 := parseEventID(other)
	return a.less(b), ok1 && ok2
}

func parseEventID(s string) (eventID, bool) {
	a, b, ok := strings.Cut(s, "-")
	step, err := strconv.ParseInt(a, 10, 64)
	sub, err2 := strconv.ParseInt(b, 10, 64)
	ok = ok && err == nil && err2 == nil && step >= 0 && sub >= 0 && step <= overID.step && sub < 1<<53
	return eventID{step, sub}, ok
}

func parseAfter(after string) (eventID, error) {
	if after == "" {
		return eventID{}, nil
	}
	e, ok := parseEventID(after)
	if !ok {
		return eventID{}, invalid.Field("after", "no event id: %q", clip(after))
	}
	return e, nil
}

// logged is an event with its id parsed.
type logged struct {
	id eventID
	tuning.Event
}

// statusData is the data of a status event.
type statusData struct {
	Status  tuning.Status    `json:"status"`
	Attempt int              `json:"attempt,omitempty"`
	Phase   string           `json:"phase,omitempty"`
	Step    *int             `json:"step,omitempty"`    // where an attempt goes on from
	Message string           `json:"message,omitempty"` // why an attempt ended
	Result  *tuning.Result   `json:"result,omitempty"`
	Error   *tuning.JobError `json:"error,omitempty"`
}

// checkpointData is the data of a checkpoint event.
type checkpointData struct {
	Step    int   `json:"step"`
	Attempt int   `json:"attempt"`
	Bytes   int64 `json:"bytes"`
	Best    bool  `json:"best"`
}

func newEvent(id eventID, typ string, at time.Time, data any) (logged, error) {
	raw, err := json.Marshal(data)
	if err != nil {
		return logged{}, fmt.Errorf("event %s: %w", typ, err)
	}
	return logged{id, tuning.Event{ID: id.String(), Type: typ, Time: at.UTC(), Data: raw}}, nil
}

// Events returns up to limit events of a job that come after the event id after, in
// the order of their ids; limit 0 means all, an empty id from the beginning. The
// history of a job outlives Redis.
func (q *Queue) Events(ctx context.Context, id, after string, limit int) ([]tuning.Event, error) {
	from, err := parseAfter(after)
	if err != nil {
		return nil, err
	}
	s, err := q.load(ctx, id)
	if err != nil {
		return nil, err
	}
	all, err := q.history(ctx, s, from)
	if err != nil {
		return nil, err
	}
	if limit > 0 && len(all) > limit {
		all = all[:limit]
	}
	events := make([]tuning.Event, len(all))
	for i, e := range all {
		events[i] = e.Event
	}
	return events, nil
}

// history merges what follows from the records, what the store holds, and what only
// Redis has yet.
func (q *Queue) history(ctx context.Context, s *state, after eventID) ([]logged, error) {
	saved, err := q.saved(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("job %s: events: %w", s.id, err)
	}
	fresh, _, err := q.fresh(ctx, s.id, after, 0)
	if err != nil {
		q.log.Warn("events since the last checkpoint cannot be read", "job", s.id, "error", err)
	}
	all := merge(s.told(), saved, fresh)
	return slices.DeleteFunc(all, func(e logged) bool { return !after.less(e.id) }), nil
}

// told are the events that follow from the job's records.
func (s *state) told() []logged {
	first, err := newEvent(eventID{0, subQueued}, "status", s.spec.CreatedAt, statusData{Status: tuning.Queued})
	if err != nil {
		return nil
	}
	events := []logged{first}
	if last, ok := s.lastEvent(); ok {
		events = append(events, last)
	}
	return events
}

// lastEvent tells how the job ended.
func (s *state) lastEvent() (logged, bool) {
	j := s.job()
	if !j.Status.Over() {
		return logged{}, false
	}
	e, err := newEvent(overID, "status", *j.FinishedAt,
		statusData{Status: j.Status, Attempt: j.Attempt, Result: j.Result, Error: j.Error})
	return e, err == nil
}

// merge sorts events and keeps the first of those with one id.
func merge(parts ...[]logged) []logged {
	all := slices.Concat(parts...)
	slices.SortStableFunc(all, func(a, b logged) int {
		switch {
		case a.id.less(b.id):
			return -1
		case b.id.less(a.id):
			return 1
		}
		return 0
	})
	return slices.CompactFunc(all, func(a, b logged) bool { return a.id == b.id })
}

// saved reads the events that are in the store. What has rotted there must not hide
// the rest, or keep an attempt from starting.
func (q *Queue) saved(ctx context.Context, s *state) ([]logged, error) {
	var all []logged
	if s.final != nil && s.final.History != "" {
		events, err := q.readArchive(ctx, s.final.History)
		if err != nil {
			q.log.Error("events are lost", "job", s.id, "error", err)
		}
		all = events
	}
	for _, key := range s.history {
		data, err := q.store.Get(ctx, key)
		if errors.Is(err, store.ErrNotFound) {
			continue // the final record's history holds it by now
		}
		var events []logged
		if err == nil {
			events, err = decodeEvents(data)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			q.log.Error("events are lost", "job", s.id, "record", key, "error", err)
			continue
		}
		all = append(all, events...)
	}
	return all, nil
}

// fresh reads up to count events after an id from Redis, and the id of the oldest one
// there; count 0 means all.
func (q *Queue) fresh(ctx context.Context, id string, after eventID, count int64) (events []logged, oldest eventID, err error) {
	var first, rest *redis.XMessageSliceCmd
	err = q.redis.hint(ctx, func(ctx context.Context) error {
		_, err := q.redis.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			key := q.redis.key("events:" + id)
			first = p.XRangeN(ctx, key, "-", "+", 1)
			if count > 0 {
				rest = p.XRangeN(ctx, key, "("+after.String(), "+", count)
			} else {
				rest = p.XRange(ctx, key, "("+after.String(), "+")
			}
			return nil
		})
		return err
	})
	if err != nil {
		return nil, eventID{}, err
	}
	for _, m := range first.Val() {
		oldest, _ = parseEventID(m.ID)
	}
	for _, m := range rest.Val() {
		e, ok := fromStream(m)
		if ok {
			events = append(events, e)
		}
	}
	return events, oldest, nil
}

func fromStream(m redis.XMessage) (logged, bool) {
	id, ok := parseEventID(m.ID)
	typ, _ := m.Values["type"].(string)
	at, _ := m.Values["time"].(string)
	data, _ := m.Values["data"].(string)
	t, err := time.Parse(time.RFC3339Nano, at)
	ok = ok && err == nil && json.Valid([]byte(data))
	return logged{id, tuning.Event{ID: m.ID, Type: typ, Time: t, Data: json.RawMessage(data)}}, ok
}

// appendEvents puts events into a job's stream; see lua/append.lua.
func (d *dispatch) appendEvents(ctx context.Context, id, token, prev, live string, keep time.Duration, events []logged) (string, error) {
	args := []any{id, token, prev, streamLength, int(keep.Seconds()), live, d.channel}
	for _, e := range events {
		args = append(args, e.ID, e.Type, e.Time.Format(time.RFC3339Nano), string(e.Data))
	}
	return appendScript.Run(ctx, d.rdb,
		[]string{d.key("events:" + id), d.key("owners"), d.key("live:" + id)}, args...).Text()
}

// say appends a status event while no attempt runs. It is a hint.
func (q *Queue) say(ctx context.Context, s *state, data statusData) {
	saved, err := q.saved(ctx, s)
	if err != nil {
		return
	}
	fresh, _, err := q.fresh(ctx, s.id, eventID{}, 0)
	if err != nil {
		return
	}
	all := merge(s.told(), saved, fresh)
	e, err := newEvent(all[len(all)-1].id.next(), "status", time.Now(), data)
	if err != nil {
		return
	}
	_ = q.redis.hint(ctx, func(ctx context.Context) error {
		_, err := q.redis.appendEvents(ctx, s.id, "", "", "", streamKeep, append(unheard(all, fresh), e))
		return err
	})
}

// unheard are the events that come after the newest that Redis has. An attempt may have
// ended before Redis heard of its last ones, which are in the store: whoever goes on
// says them first, or a follower, who trusts that the stream has no gaps, misses them. A
// stream that is empty needs none: its oldest event is then newer than what followers
// have, so they look in the store.
func unheard(all, fresh []logged) []logged {
	if len(fresh) == 0 {
		return nil
	}
	newest := fresh[len(fresh)-1].id
	i := slices.IndexFunc(all, func(e logged) bool { return newest.less(e.id) })
	if i < 0 {
		return nil
	}
	return slices.Clone(all[i:])
}

// sayOver appends the last event, after which the stream takes no other.
func (q *Queue) sayOver(ctx context.Context, s *state) {
	e, ok := s.lastEvent()
	if !ok {
		return
	}
	_ = q.redis.hint(ctx, func(ctx context.Context) error {
		_, err := q.redis.appendEvents(ctx, s.id, "", "", "", streamOver, []logged{e})
		return err
	})
}
