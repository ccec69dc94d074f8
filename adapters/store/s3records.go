package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

// writerField is the user metadata that says which call wrote an object.
const writerField = "Writer"

// Create writes the record key, or fails with [ErrExists] when there is one already.
// When it returns nil the record is durable. After [ErrUnavailable] or the end of ctx
// the record may be there or not: the answer was lost.
func (s *S3) Create(ctx context.Context, key string, data []byte) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	nonce := rand.Text()
	err := s.put(ctx, s.prefix+key, seal(data), nonce)
	if errors.Is(err, errPrecondition) {
		err = s.ours(ctx, s.prefix+key, nonce)
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", key, err)
	}
	return nil
}

// put makes one object that must not be there.
func (s *S3) put(ctx context.Context, object string, data []byte, nonce string) error {
	o := minio.PutObjectOptions{UserMetadata: map[string]string{writerField: nonce}, DisableMultipart: true, SendContentMd5: true}
	o.SetMatchETagExcept("*")
	// 409: the object is being written or deleted by another at this moment.
	for wait := 10 * time.Millisecond; ; wait *= 2 {
		_, err := s.client.Client.PutObject(ctx, s.bucket, object, bytes.NewReader(data), int64(len(data)), o)
		err = s3Error(err)
		if !errors.Is(err, errConflict) {
			return err
		}
		if wait > 5*time.Second {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		}
	}
}

// ours tells who wrote the object that is in the way: this call, when an earlier
// attempt at the request went through and its answer was lost.
func (s *S3) ours(ctx context.Context, object, nonce string) error {
	info, err := s.client.Client.StatObject(ctx, s.bucket, object, minio.StatObjectOptions{})
	switch err = s3Error(err); {
	case errors.Is(err, ErrNotFound): // deleted meanwhile
		return ErrExists
	case err != nil:
		return err
	}
	for name, value := range info.UserMetadata {
		if strings.EqualFold(name, writerField) && value == nonce {
			return nil
		}
	}
	return ErrExists
}

// Get returns the record key, or fails with [ErrNotFound] or [ErrCorrupt].
func (s *S3) Get(ctx context.Context, key string) ([]byte, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	body, _, _, err := s.client.GetObject(ctx, s.bucket, s.prefix+key, minio.GetObjectOptions{})
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", key, s3Error(err))
	}
	defer body.Close()
	file, err := io.ReadAll(body)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", key, s3Error(err))
	}
	data, ok := unseal(file)
	if !ok {
		return nil, fmt.Errorf("get %s: %w", key, ErrCorrupt)
	}
	return data, nil
}

// Created is when the record key was created, by the store's own clock, or fails with
// [ErrNotFound]. What copies a store sets it anew.
func (s *S3) Created(ctx context.Context, key string) (time.Time, error) {
	if err := CheckKey(key); err != nil {
		return time.Time{}, err
	}
	if err := context.Cause(ctx); err != nil {
		return time.Time{}, err
	}
	at, err := s.client.Client.StatObject(ctx, s.bucket, s.prefix+key, minio.StatObjectOptions{})
	if err != nil {
		return time.Time{}, fmt.Errorf("time of %s: %w", key, s3Error(err))
	}
	return at.LastModified, nil
}

// List returns the keys that begin with prefix, sorted bytewise. It is no snapshot:
// a record created or deleted meanwhile may be in it or not.
func (s *S3) List(ctx context.Context, prefix string) ([]string, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	// From the top, folder by folder: the blobs are many and no records.
	var keys []string
	begins := []string{prefix}
	if !strings.Contains(prefix, "/") {
		begins = nil
		for at, err := range s.list(ctx, prefix, false) {
			if err != nil {
				return nil, fmt.Errorf("list %s: %w", prefix, err)
			}
			if strings.HasSuffix(at.Key, "/") {
				begins = append(begins, at.Key)
			} else {
				keys = append(keys, at.Key)
			}
		}
	}
	for _, begin := range begins {
		if reserved(begin) {
			continue
		}
		for at, err := range s.list(ctx, begin, true) {
			if err != nil {
				return nil, fmt.Errorf("list %s: %w", prefix, err)
			}
			keys = append(keys, at.Key)
		}
	}
	keys = slices.DeleteFunc(keys, func(k string) bool { return CheckKey(k) != nil })
	slices.Sort(keys)
	return keys, nil
}

// Children returns the distinct elements that come next after prefix, which is empty
// or ends with a slash, in the keys that begin with it, sorted.
func (s *S3) Children(ctx context.Context, prefix string) ([]string, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		return nil, fmt.Errorf("%w: prefix %q does not end with a slash", ErrKey, clip(prefix))
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	var names []string
	for at, err := range s.list(ctx, prefix, false) {
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", prefix, err)
		}
		name := strings.TrimSuffix(strings.TrimPrefix(at.Key, prefix), "/")
		if validElement(name) && (prefix != "" || !reserved(name)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// list walks over the objects whose keys begin with prefix, or over the next elements
// only; keys are without the store's own prefix. It ends after the first error.
func (s *S3) list(ctx context.Context, prefix string, deep bool) func(yield func(minio.ObjectInfo, error) bool) {
	return func(yield func(minio.ObjectInfo, error) bool) {
		o := minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: deep}
		for at := range s.client.ListObjectsIter(ctx, s.bucket, o) {
			if err := context.Cause(ctx); err != nil {
				yield(at, err)
				return
			}
			at.Key = strings.TrimPrefix(at.Key, s.prefix)
			if !yield(at, s3Error(at.Err)) || at.Err != nil {
				return
			}
		}
		if err := context.Cause(ctx); err != nil {
			yield(minio.ObjectInfo{}, err)
		}
	}
}

// Delete removes the record key durably. Deleting what is not there is no error.
func (s *S3) Delete(ctx context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if err := s.remove(ctx, s.prefix+key); err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

func (s *S3) remove(ctx context.Context, object string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	err := s3Error(s.client.Client.RemoveObject(ctx, s.bucket, object, minio.RemoveObjectOptions{}))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
