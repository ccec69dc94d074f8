package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"lorikeet/tuning"
)

// Stats is how the queue fares.
type Stats struct {
	Classes map[string]ClassStats `json:"classes"`
	Workers []WorkerStats         `json:"workers"`
}

// ClassStats are of one class's queue.
type ClassStats struct {
	Queued  int           `json:"queued"`
	Running int           `json:"running"` // leased
	Oldest  time.Duration `json:"oldest"`  // age of the oldest that waits
	// Kinds count the jobs by kind; of a job that this process has not looked at yet
	// that is "unknown".
	Kinds map[tuning.Kind]KindStats `json:"kinds"`
}

// KindStats are of the jobs of one kind in a class's queue.
type KindStats struct {
	Queued  int `json:"queued"`
	Running int `json:"running"`
}

// WorkerStats is what a worker last said about itself.
type WorkerStats struct {
	ID    string        `json:"id"`
	Host  string        `json:"host"`
	Class string        `json:"class"`
	Slots int           `json:"slots"`
	Busy  int           `json:"busy"`
	Seen  time.Duration `json:"seen"` // how long ago
}

// Stats asks Redis how many jobs wait and who works.
func (q *Queue) Stats(ctx context.Context) (Stats, error) {
	fail := func(err error) (Stats, error) { return Stats{}, fmt.Errorf("queue stats: %w", err) }
	queued, err := q.redis.queued(ctx)
	if err != nil {
		return fail(err)
	}
	var (
		leases  *redis.ZSliceCmd
		workers *redis.MapStringStringCmd
		seen    *redis.ZSliceCmd
	)
	clock, err := q.redis.now(ctx)
	if err != nil {
		return fail(err)
	}
	_, err = q.redis.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		leases = p.ZRangeWithScores(ctx, q.redis.key("leases"), 0, -1)
		workers = p.HGetAll(ctx, q.redis.key("workers"))
		seen = p.ZRangeWithScores(ctx, q.redis.key("seen"), 0, -1)
		return nil
	})
	if err != nil {
		return fail(err)
	}
	now := float64(clock)
	busy := map[any]bool{}
	for _, z := range leases.Val() {
		busy[z.Member] = z.Score > now
	}
	st := Stats{Classes: map[string]ClassStats{}}
	for class, jobs := range queued {
		c := ClassStats{Kinds: map[tuning.Kind]KindStats{}}
		for _, z := range jobs {
			id, _ := z.Member.(string)
			kind := tuning.Kind("unknown")
			if e, ok := q.index.get(id); ok {
				kind = e.kind
			}
			k := c.Kinds[kind]
			if busy[z.Member] {
				c.Running, k.Running = c.Running+1, k.Running+1
				c.Kinds[kind] = k
				continue
			}
			c.Queued, k.Queued = c.Queued+1, k.Queued+1
			c.Kinds[kind] = k
			if age := time.Since(created(z.Score)); age > c.Oldest {
				c.Oldest = age
			}
		}
		st.Classes[class] = c
	}
	for _, z := range seen.Val() {
		id, _ := z.Member.(string)
		var w WorkerStats
		if json.NewDecoder(strings.NewReader(workers.Val()[id])).Decode(&w) != nil {
			continue
		}
		w.ID, w.Seen = id, time.Duration(now-z.Score)*time.Millisecond
		st.Workers = append(st.Workers, w)
	}
	slices.SortFunc(st.Workers, func(a, b WorkerStats) int { return strings.Compare(a.ID, b.ID) })
	return st, nil
}

// created takes the time back out of a score.
func created(score float64) time.Time {
	ms := int64(score) & (1<<timeBits - 1)
	return time.UnixMilli(ms)
}

// hello notes that a worker lives; slots 0 that it leaves.
func (d *dispatch) hello(ctx context.Context, w WorkerStats, keep time.Duration) error {
	text := ""
	if w.Slots > 0 {
		data, err := json.Marshal(w)
		if err != nil {
			return err
		}
		text = string(data)
	}
	return helloScript.Run(ctx, d.rdb, []string{d.key("workers"), d.key("seen")}, w.ID, text, keep.Milliseconds()).Err()
}
