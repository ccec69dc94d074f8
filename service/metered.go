package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lorikeet/adapters/store"
)

// metered is a record store whose operations are counted: each is a request to the
// bucket, or some calls of the file system.
type metered struct {
	recordStore
	took *prometheus.HistogramVec
}

func newMetered(s recordStore) *metered {
	return &metered{s, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "lorikeet_store_operation_duration_seconds", Help: "Operations on the record store, by what is done and whether it went well; that a record is there already, or is not there, is an answer.",
		Buckets: prometheus.ExponentialBuckets(100e-6, 4, 9)}, []string{"op", "outcome"})} // to 6.6 s
}

func (m *metered) count(op string, since time.Time, err *error) {
	outcome := "ok"
	if *err != nil && !errors.Is(*err, store.ErrExists) && !errors.Is(*err, store.ErrNotFound) && !errors.Is(*err, context.Canceled) {
		outcome = "error"
	}
	m.took.WithLabelValues(op, outcome).Observe(time.Since(since).Seconds())
}

func (m *metered) Create(ctx context.Context, key string, data []byte) (err error) {
	defer m.count("create", time.Now(), &err)
	return m.recordStore.Create(ctx, key, data)
}

func (m *metered) Get(ctx context.Context, key string) (data []byte, err error) {
	defer m.count("get", time.Now(), &err)
	return m.recordStore.Get(ctx, key)
}

func (m *metered) Created(ctx context.Context, key string) (at time.Time, err error) {
	defer m.count("stat", time.Now(), &err)
	return m.recordStore.Created(ctx, key)
}

func (m *metered) List(ctx context.Context, prefix string) (keys []string, err error) {
	defer m.count("list", time.Now(), &err)
	return m.recordStore.List(ctx, prefix)
}

func (m *metered) Children(ctx context.Context, prefix string) (names []string, err error) {
	defer m.count("list", time.Now(), &err)
	return m.recordStore.Children(ctx, prefix)
}

func (m *metered) Delete(ctx context.Context, key string) (err error) {
	defer m.count("delete", time.Now(), &err)
	return m.recordStore.Delete(ctx, key)
}

func (m *metered) PutBlob(ctx context.Context, r io.Reader) (digest string, size int64, err error) {
	defer m.count("put_blob", time.Now(), &err)
	return m.recordStore.PutBlob(ctx, r)
}

func (m *metered) OpenBlob(ctx context.Context, digest string) (b store.Blob, err error) {
	defer m.count("open_blob", time.Now(), &err)
	return m.recordStore.OpenBlob(ctx, digest)
}

func (m *metered) Fetch(ctx context.Context, digest string, w io.Writer) (n int64, err error) {
	defer m.count("fetch_blob", time.Now(), &err)
	return m.recordStore.Fetch(ctx, digest, w)
}

func (m *metered) StatBlob(ctx context.Context, digest string) (info store.BlobInfo, err error) {
	defer m.count("stat_blob", time.Now(), &err)
	return m.recordStore.StatBlob(ctx, digest)
}

func (m *metered) VerifyBlob(ctx context.Context, digest string) (err error) {
	defer m.count("verify_blob", time.Now(), &err)
	return m.recordStore.VerifyBlob(ctx, digest)
}

func (m *metered) DeleteBlob(ctx context.Context, digest string) (err error) {
	defer m.count("delete_blob", time.Now(), &err)
	return m.recordStore.DeleteBlob(ctx, digest)
}

// Lock takes the folder's lock; a bucket has none.
func (m *metered) Lock(ctx context.Context, name string) (unlock func() error, err error) {
	if l, ok := m.recordStore.(interface {
		Lock(ctx context.Context, name string) (unlock func() error, err error)
	}); ok {
		return l.Lock(ctx, name)
	}
	return func() error { return nil }, nil
}
