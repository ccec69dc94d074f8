package queue

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// What Redis holds, below one prefix in braces so that a cluster keeps it together:
//
//	queue:<class>   sorted set of the jobs not over and not paused, by priority and age
//	classes         set of the classes there are queues of
//	leases          sorted set: job, and until when (ms, by Redis's clock) it is leased
//	owners          hash: job, and the token of who leases it
//	tenants         hash: job, and whose it is, unless the default tenant's
//	turns           sorted set: tenant, and the number of its last turn
//	epoch           exists as long as this Redis has not lost its data
//	events:<job>    stream of the events since about the last checkpoint
//	live:<job>      phase and progress, JSON
//	workers, seen   hash of who they are, sorted set of when each last said so
//	news            channel: "wake" (work may be had), "job <id>" (it has new events),
//	                "ask <id>" (its worker should look), "say <topic> <text>"
//
// A job stays in its queue while it is worked on; a lease hides it. So a lease that
// runs out, or is forgotten, needs no one to put the job back.
type dispatch struct {
	rdb     redis.UniversalClient
	tag     string
	channel string
	down    atomic.Int64 // unix ns until which hints are not asked for
}

//go:embed lua/*.lua
var sources embed.FS

func script(name string) *redis.Script {
	src, err := sources.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // embedded
	}
	return redis.NewScript(string(src))
}

var (
	enqueueScript  = script("enqueue")
	claimScript    = script("claim")
	beatScript     = script("beat")
	releaseScript  = script("release")
	appendScript   = script("append")
	positionScript = script("position")
	helloScript    = script("hello")
	nowScript      = script("now")
)

// Limits of what Redis keeps of a job's events.
const (
	streamLength = 4096               // events; more than a worker leaves unsaved
	streamKeep   = 7 * 24 * time.Hour // since the last event
	streamOver   = time.Hour          // since the job was over
)

// hintTime bounds what is asked of Redis on the way to an answer that can do without;
// tryTime what a worker asks, which nobody waits for.
const (
	hintTime = time.Second
	tryTime  = 5 * time.Second
)

func newDispatch(rdb redis.UniversalClient, prefix string) *dispatch {
	tag := "{" + prefix + "}:"
	return &dispatch{rdb: rdb, tag: tag, channel: tag + "news"}
}

func (d *dispatch) key(name string) string { return d.tag + name }
func (d *dispatch) queue(class string) string {
	return d.tag + "queue:" + class
}

const defaultClass = "default"

func class(s specRecord) string {
	if s.Spec.Class == "" {
		return defaultClass
	}
	return s.Spec.Class
}

// maxPriority keeps a score within the 53 bits of a double: 42 for milliseconds,
// until the year 2109, and 11 for the priority with its sign.
const (
	maxPriority = 1000
	timeBits    = 42
)

// score orders the jobs of a tenant: higher priority first, then older first. Between
// tenants a priority counts for nothing, or each would give its jobs the highest.
func score(s specRecord) int64 {
	return s.CreatedAt.UnixMilli() - int64(s.Spec.Priority)<<timeBits
}

// hint runs f unless Redis failed a moment ago, and not for long.
func (d *dispatch) hint(ctx context.Context, f func(context.Context) error) error {
	if time.Now().UnixNano() < d.down.Load() {
		return errors.New("redis is out of reach")
	}
	hctx, cancel := context.WithTimeout(ctx, hintTime)
	defer cancel()
	err := f(hctx)
	if err != nil && !errors.Is(err, redis.Nil) && ctx.Err() == nil {
		d.down.Store(time.Now().Add(hintTime).UnixNano())
	}
	return err
}

// try runs f for a worker.
func (d *dispatch) try(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tryTime)
	defer cancel()
	return f(ctx)
}

func (d *dispatch) enqueue(ctx context.Context, s specRecord) error {
	return enqueueScript.Run(ctx, d.rdb,
		[]string{d.queue(class(s)), d.key("classes"), d.key("tenants")},
		s.ID, score(s), class(s), d.channel, s.Spec.Tenant).Err()
}

// dequeue takes a job that is over or paused out of its queue; with over, its lease
// too, since a worker that still has it will find out from the store.
func (d *dispatch) dequeue(ctx context.Context, s specRecord, over bool) error {
	_, err := d.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.ZRem(ctx, d.queue(class(s)), s.ID)
		if over {
			p.ZRem(ctx, d.key("leases"), s.ID)
			p.HDel(ctx, d.key("owners"), s.ID)
			p.HDel(ctx, d.key("tenants"), s.ID)
		}
		return nil
	})
	return err
}

// forget takes an id that no job has out of a queue.
func (d *dispatch) forget(ctx context.Context, class, id string) error {
	_, err := d.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.ZRem(ctx, d.queue(class), id)
		p.HDel(ctx, d.key("tenants"), id)
		return nil
	})
	return err
}

// How the last lease of a claimed job ended.
const (
	priorNone    = "none"    // there was none, or Redis has forgotten it
	priorExpired = "expired" // its owner was silent for a whole lease
)

// errEmpty: this Redis has no data and must be filled by Reconcile first.
var errEmpty = errors.New("redis has lost its data")

// claim is a job that token has a lease on.
type claim struct {
	id, class, token string
	prior            string // how the lease before ended
}

// claim leases the next job of the classes to token; id is empty when there is none.
func (d *dispatch) claim(ctx context.Context, classes []string, token string, lease time.Duration) (claim, error) {
	keys := []string{d.key("leases"), d.key("owners"), d.key("epoch"), d.key("tenants"), d.key("turns")}
	for _, c := range classes {
		keys = append(keys, d.queue(c))
	}
	out, err := claimScript.Run(ctx, d.rdb, keys, token, lease.Milliseconds()).StringSlice()
	if err != nil {
		return claim{}, err
	}
	var i int
	if len(out) == 3 {
		i, err = strconv.Atoi(out[2])
	}
	if len(out) != 3 || err != nil || i < 0 || i >= len(classes) {
		return claim{}, fmt.Errorf("claim: unexpected reply %q", out)
	}
	if out[1] == "empty" {
		return claim{}, errEmpty
	}
	return claim{id: out[0], prior: out[1], class: classes[i], token: token}, nil
}

// beat extends or takes back a lease and returns "held", "adopted", "empty" or
// "other".
func (d *dispatch) beat(ctx context.Context, s specRecord, token string, lease time.Duration) (string, error) {
	return beatScript.Run(ctx, d.rdb,
		[]string{d.key("leases"), d.key("owners"), d.key("epoch"), d.queue(class(s)), d.key("tenants")},
		s.ID, token, lease.Milliseconds(), score(s), s.Spec.Tenant).Text()
}

// release gives a lease back: to anyone now, to anyone after a delay, or with drop
// together with the job's place in the queue.
func (d *dispatch) release(ctx context.Context, c claim, delay time.Duration, drop bool) error {
	what := ""
	if drop {
		what = "drop"
	}
	return releaseScript.Run(ctx, d.rdb,
		[]string{d.key("leases"), d.key("owners"), d.queue(c.class), d.key("tenants")},
		c.id, c.token, delay.Milliseconds(), what, d.channel).Err()
}

// now is the time that leases run by, in milliseconds.
func (d *dispatch) now(ctx context.Context) (int64, error) {
	return nowScript.Run(ctx, d.rdb, []string{d.key("leases")}).Int64()
}

// silent returns the jobs whose lease has run out and was not taken by another.
func (d *dispatch) silent(ctx context.Context) (map[string]bool, error) {
	now, err := d.now(ctx)
	if err != nil {
		return nil, err
	}
	ids, err := d.rdb.ZRangeByScore(ctx, d.key("leases"), &redis.ZRangeBy{Min: "-inf", Max: strconv.FormatInt(now, 10)}).Result()
	jobs := make(map[string]bool, len(ids))
	for _, id := range ids {
		jobs[id] = true
	}
	return jobs, err
}

// leased reports whether a job has a lease that has not run out.
func (d *dispatch) leased(ctx context.Context, id string) (bool, error) {
	till, err := d.rdb.ZScore(ctx, d.key("leases"), id).Result()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	now, err := d.now(ctx)
	return err == nil && till > float64(now), err
}

// position is how many waiting jobs come before this one as things stand, or -1.
func (d *dispatch) position(ctx context.Context, s specRecord) (n int, err error) {
	err = d.hint(ctx, func(ctx context.Context) error {
		n, err = positionScript.Run(ctx, d.rdb, []string{d.queue(class(s)), d.key("leases"), d.key("tenants"), d.key("turns")}, s.ID).Int()
		return err
	})
	return n, err
}

func (d *dispatch) publish(ctx context.Context, text string) error {
	return d.rdb.Publish(ctx, d.channel, text).Err()
}

// queued returns the jobs in each class's queue, with their scores.
func (d *dispatch) queued(ctx context.Context) (map[string][]redis.Z, error) {
	classes, err := d.rdb.SMembers(ctx, d.key("classes")).Result()
	if err != nil {
		return nil, err
	}
	all := make(map[string][]redis.Z, len(classes))
	for _, c := range classes {
		if all[c], err = d.rdb.ZRangeWithScores(ctx, d.queue(c), 0, -1).Result(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// depth is how many jobs are queued or running.
func (d *dispatch) depth(ctx context.Context) (n int, err error) {
	err = d.hint(ctx, func(ctx context.Context) error {
		classes, err := d.rdb.SMembers(ctx, d.key("classes")).Result()
		if err != nil {
			return err
		}
		for _, c := range classes {
			k, err := d.rdb.ZCard(ctx, d.queue(c)).Result()
			if err != nil {
				return err
			}
			n += int(k)
		}
		return nil
	})
	return n, err
}
