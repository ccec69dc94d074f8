package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/minio/minio-go/v7"
)

// PutBlob stores what r holds under the digest of its bytes, durably, and returns the
// digest and the size in bytes. The bytes go to the local disk first, where they stay
// cached: the object's name is not known before the last of them. Putting bytes that
// are there already replaces them, which mends a blob that has rotted and renews its
// ModTime.
func (s *S3) PutBlob(ctx context.Context, r io.Reader) (digest string, size int64, err error) {
	if err := context.Cause(ctx); err != nil {
		return "", 0, fmt.Errorf("put blob: %w", err)
	}
	f, err := s.cache.create()
	if err != nil {
		return "", 0, fmt.Errorf("put blob: %w", err)
	}
	defer s.cache.drop(f)
	h := sha256.New()
	if size, err = io.Copy(io.MultiWriter(f, h), reader{ctx, r}); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return "", 0, fmt.Errorf("put blob: %w", space(err))
	}
	digest = digestPrefix + hex.EncodeToString(h.Sum(nil))
	// Signed piece by piece, an empty body would be sent without its length.
	o := minio.PutObjectOptions{SendContentMd5: true, DisableContentSha256: size == 0}
	if _, err := s.client.Client.PutObject(ctx, s.bucket, s.prefix+blobPath(digest), f, size, o); err != nil {
		return "", 0, fmt.Errorf("put blob %s: %w", digest, s3Error(err))
	}
	s.cache.keep(f, digest)
	return digest, size, nil
}

// OpenBlob opens the blob that digest names, or fails with [ErrNotFound] or
// [ErrCorrupt]: it is brought to the local disk, and verified there.
func (s *S3) OpenBlob(ctx context.Context, digest string) (Blob, error) {
	if err := CheckDigest(digest); err != nil {
		return nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return s.cache.open(ctx, digest, func(w io.Writer) error {
		_, err := s.download(ctx, digest, w)
		return err
	})
}

// download copies a blob from the bucket to w and verifies it.
func (s *S3) download(ctx context.Context, digest string, w io.Writer) (int64, error) {
	body, _, _, err := s.client.GetObject(ctx, s.bucket, s.prefix+blobPath(digest), minio.GetObjectOptions{})
	if err != nil {
		return 0, fmt.Errorf("blob %s: %w", digest, s3Error(err))
	}
	defer body.Close()
	return copyVerified(ctx, remote{body}, digest, w)
}

// remote marks the errors of a body that is cut off.
type remote struct{ io.Reader }

func (r remote) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = s3Error(err)
	}
	return n, err
}

// Fetch copies a blob to w and verifies it: on [ErrCorrupt] what w was given must be
// thrown away.
func (s *S3) Fetch(ctx context.Context, digest string, w io.Writer) (int64, error) {
	b, err := s.OpenBlob(ctx, digest)
	if err != nil {
		return 0, err
	}
	defer b.Close()
	n, err := copyVerified(ctx, b, digest, w)
	if errors.Is(err, ErrCorrupt) {
		s.cache.forget(digest) // the local copy has rotted
	}
	return n, err
}

// VerifyBlob reads the whole blob from the bucket and fails with [ErrCorrupt] or
// [ErrNotFound].
func (s *S3) VerifyBlob(ctx context.Context, digest string) error {
	if err := CheckDigest(digest); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	_, err := s.download(ctx, digest, io.Discard)
	return err
}

// DeleteBlob removes a blob; readers that have it open keep it. Deleting what is not
// there is no error. The caller answers for nothing referring to it.
func (s *S3) DeleteBlob(ctx context.Context, digest string) error {
	if err := CheckDigest(digest); err != nil {
		return err
	}
	if err := s.remove(ctx, s.prefix+blobPath(digest)); err != nil {
		return fmt.Errorf("delete blob %s: %w", digest, err)
	}
	s.cache.forget(digest)
	return nil
}

// StatBlob describes a blob, or fails with [ErrNotFound].
func (s *S3) StatBlob(ctx context.Context, digest string) (BlobInfo, error) {
	if err := CheckDigest(digest); err != nil {
		return BlobInfo{}, err
	}
	if err := context.Cause(ctx); err != nil {
		return BlobInfo{}, err
	}
	at, err := s.client.Client.StatObject(ctx, s.bucket, s.prefix+blobPath(digest), minio.StatObjectOptions{})
	if err != nil {
		return BlobInfo{}, fmt.Errorf("blob %s: %w", digest, s3Error(err))
	}
	return BlobInfo{Digest: digest, Size: at.Size, ModTime: at.LastModified}, nil
}

// Blobs walks over all blobs, in no particular order. It ends after the first error.
func (s *S3) Blobs(ctx context.Context) iter.Seq2[BlobInfo, error] {
	return func(yield func(BlobInfo, error) bool) {
		for at, err := range s.list(ctx, blobFolder+"/sha256/", true) {
			if err != nil {
				yield(BlobInfo{}, fmt.Errorf("list blobs: %w", err))
				return
			}
			digest := digestPrefix + at.Key[strings.LastIndexByte(at.Key, '/')+1:]
			if CheckDigest(digest) != nil || at.Key != blobPath(digest) {
				continue
			}
			if !yield(BlobInfo{Digest: digest, Size: at.Size, ModTime: at.LastModified}, nil) {
				return
			}
		}
	}
}
