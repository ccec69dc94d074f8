package main

import (
	"context"
	"io"
	"path/filepath"
	"strings"

	"lorikeet/adapters"
	"lorikeet/adapters/store"
	"lorikeet/tuning/datasets"
	"lorikeet/tuning/queue"
)

// recordStore is what the parts need together; see [store.Dir] and [store.S3].
type recordStore interface {
	adapters.Store
	datasets.Store
	queue.Store
	io.Closer
}

const s3Scheme = "s3://"

// openStore opens the store that the flags name, in a folder or in a bucket; for a bucket
// the environment holds the keys, under the names that Amazon's tools use.
func openStore(ctx context.Context, c *config, env func(string) string) (recordStore, error) {
	if !strings.HasPrefix(c.store, s3Scheme) {
		return store.OpenDir(c.storeFolder())
	}
	o, err := bucketOptions(c, env)
	if err != nil {
		return nil, err
	}
	return store.OpenS3(ctx, o)
}

func bucketOptions(c *config, env func(string) string) (store.S3Options, error) {
	o, err := store.ParseS3(c.store)
	if err != nil {
		return o, err
	}
	first := func(names ...string) string {
		for _, name := range names {
			if v := env(name); v != "" {
				return v
			}
		}
		return ""
	}
	o.AccessKey, o.SecretKey, o.SessionToken = env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY"), env("AWS_SESSION_TOKEN")
	o.Metadata, o.NoMetadata = env("AWS_EC2_METADATA_SERVICE_ENDPOINT"), strings.EqualFold(env("AWS_EC2_METADATA_DISABLED"), "true")
	if o.Region == "" {
		o.Region = first("AWS_REGION", "AWS_DEFAULT_REGION")
	}
	if o.Endpoint == "" {
		o.Endpoint = first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
	}
	o.Cache, o.CacheBytes = filepath.Join(c.data, "cache"), int64(c.cacheGB)<<30
	return o, nil
}
