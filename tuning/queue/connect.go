package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Connect makes a client of the Redis at a URL. It does not dial yet.
//
//	redis://[user:password@]host:port/db      one server
//	unix:///path/to.sock?db=0
//	redis+sentinel://[user:password@]host:port/db?master_name=m&addr=host2:port
//	redis+cluster://[user:password@]host:port?addr=host2:port
//
// rediss in place of redis means TLS, checked by the system's certificates
// (SSL_CERT_FILE names others). The user and password of a sentinel URL are those of
// the sentinels; the servers' own are its parameters username and password.
//
// Errors do not repeat the URL, which may hold a password.
func Connect(address string) (redis.UniversalClient, error) {
	quieten()
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return nil, errors.New("redis: a URL such as redis://host:6379/0 is needed")
	}
	scheme, kind, _ := strings.Cut(scheme, "+")
	plain := scheme + "://" + rest
	off := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	switch kind {
	case "":
		o, err := redis.ParseURL(plain)
		if err != nil {
			return nil, fmt.Errorf("redis: %w", bare(err))
		}
		o.ContextTimeoutEnabled, o.MaintNotificationsConfig = true, off
		return redis.NewClient(o), nil
	case "sentinel":
		o, err := redis.ParseFailoverURL(plain)
		if err != nil {
			return nil, fmt.Errorf("redis: %w", bare(err))
		}
		if o.MasterName == "" {
			return nil, errors.New("redis: a sentinel URL needs ?master_name=")
		}
		o.ContextTimeoutEnabled = true
		return redis.NewFailoverClient(o), nil
	case "cluster":
		o, err := redis.ParseClusterURL(plain)
		if err != nil {
			return nil, fmt.Errorf("redis: %w", bare(err))
		}
		o.ContextTimeoutEnabled, o.MaintNotificationsConfig = true, off
		return redis.NewClusterClient(o), nil
	}
	return nil, errors.New("redis: unknown kind of address; there are redis, redis+sentinel and redis+cluster")
}

// quieten keeps the client library's own lines, one per failed dial, out of standard
// error: what fails is returned, and logged once by whoever it concerns.
var quieten = sync.OnceFunc(func() { redis.SetLogger(quiet{}) })

type quiet struct{}

func (quiet) Printf(ctx context.Context, format string, args ...any) {
	slog.DebugContext(ctx, fmt.Sprintf(format, args...))
}

// bare is what an error of the URL's parser says without what it repeats of the URL: a password
// may be where it belongs to something else, as one with a slash in it is in the port.
func bare(err error) error {
	var u *url.Error
	hint := ""
	if errors.As(err, &u) {
		err, hint = u.Err, " in its URL; a password's / is written as %2F there, and its @ as %40"
	}
	reason := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "redis: "), "net/url: ")
	if i := strings.IndexAny(reason, `:"`); i >= 0 {
		reason = reason[:i]
	}
	return errors.New(strings.TrimSpace(reason) + hint)
}

// checkPolicy warns of a Redis that may drop keys: nothing would be lost but time.
func (d *dispatch) checkPolicy(ctx context.Context, log *slog.Logger) {
	err := d.hint(ctx, func(ctx context.Context) error {
		look := func(ctx context.Context, rdb redis.Cmdable) error {
			conf, err := rdb.ConfigGet(ctx, "maxmemory-policy").Result()
			if p := conf["maxmemory-policy"]; err == nil && p != "" && p != "noeviction" {
				log.Warn("this Redis may evict keys under memory pressure, which delays jobs; set maxmemory-policy noeviction", "policy", p)
			}
			return err
		}
		var err error
		if c, ok := d.rdb.(*redis.ClusterClient); ok {
			err = c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return look(ctx, node) })
		} else {
			err = look(ctx, d.rdb)
		}
		var reply redis.Error
		if errors.As(err, &reply) {
			return nil // hosted ones forbid CONFIG
		}
		return err
	})
	if err != nil {
		log.Warn("Redis does not answer; jobs are accepted and wait", "error", err)
	}
}
