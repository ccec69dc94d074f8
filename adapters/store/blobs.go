package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path"
	"strings"
)

// PutBlob stores what r holds under the digest of its bytes, durably, and returns
// the digest and the size in bytes. It streams. Putting bytes that are there already
// replaces them, which mends a blob whose file has rotted and renews its ModTime.
func (d *Dir) PutBlob(ctx context.Context, r io.Reader) (digest string, size int64, err error) {
	f, temp, err := d.create()
	if err != nil {
		return "", 0, fmt.Errorf("put blob: %w", err)
	}
	h := sha256.New()
	size, err = io.Copy(io.MultiWriter(f, h), reader{ctx, r})
	if err == nil {
		err = d.sync(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", 0, errors.Join(fmt.Errorf("put blob: %w", space(err)), d.root.Remove(temp))
	}
	digest = digestPrefix + hex.EncodeToString(h.Sum(nil))
	target := blobPath(digest)
	folder := path.Dir(target)
	if err = d.mkdirs(folder); err == nil {
		err = d.root.Rename(temp, target)
	}
	if err != nil {
		return "", 0, errors.Join(fmt.Errorf("put blob %s: %w", digest, space(err)), d.root.Remove(temp))
	}
	if err := d.syncDir(folder); err != nil {
		return "", 0, fmt.Errorf("put blob %s: %w", digest, err)
	}
	return digest, size, nil
}

// OpenBlob opens the blob that digest names, or fails with [ErrNotFound]. The bytes
// are not verified; see [Dir.Fetch] and [Dir.VerifyBlob].
func (d *Dir) OpenBlob(ctx context.Context, digest string) (Blob, error) {
	if err := CheckDigest(digest); err != nil {
		return nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	f, err := d.root.Open(blobPath(digest))
	if missing(err) {
		return nil, fmt.Errorf("blob %s: %w", digest, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", digest, err)
	}
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("blob %s: %w", digest, err), f.Close())
	}
	return &file{f, st.Size()}, nil
}

type file struct {
	*os.File
	size int64
}

func (f *file) Size() int64 { return f.size }

// Fetch copies a blob to w and verifies it: on [ErrCorrupt] what w was given must be
// thrown away.
func (d *Dir) Fetch(ctx context.Context, digest string, w io.Writer) (int64, error) {
	b, err := d.OpenBlob(ctx, digest)
	if err != nil {
		return 0, err
	}
	defer b.Close()
	return copyVerified(ctx, b, digest, w)
}

// VerifyBlob reads the whole blob and fails with [ErrCorrupt] or [ErrNotFound].
func (d *Dir) VerifyBlob(ctx context.Context, digest string) error {
	_, err := d.Fetch(ctx, digest, io.Discard)
	return err
}

// DeleteBlob removes a blob; readers that have it open keep it. Deleting what is not
// there is no error. The caller answers for nothing referring to it.
func (d *Dir) DeleteBlob(ctx context.Context, digest string) error {
	if err := CheckDigest(digest); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := d.root.Remove(blobPath(digest)); err != nil && !missing(err) {
		return fmt.Errorf("delete blob %s: %w", digest, err)
	}
	return nil
}

// StatBlob describes a blob, or fails with [ErrNotFound].
func (d *Dir) StatBlob(ctx context.Context, digest string) (BlobInfo, error) {
	if err := CheckDigest(digest); err != nil {
		return BlobInfo{}, err
	}
	if err := context.Cause(ctx); err != nil {
		return BlobInfo{}, err
	}
	st, err := d.root.Stat(blobPath(digest))
	if missing(err) {
		return BlobInfo{}, fmt.Errorf("blob %s: %w", digest, ErrNotFound)
	}
	if err != nil {
		return BlobInfo{}, fmt.Errorf("blob %s: %w", digest, err)
	}
	return BlobInfo{Digest: digest, Size: st.Size(), ModTime: st.ModTime()}, nil
}

// Blobs walks over all blobs, in no particular order. It ends after the first error.
func (d *Dir) Blobs(ctx context.Context) iter.Seq2[BlobInfo, error] {
	return func(yield func(BlobInfo, error) bool) {
		base := blobFolder + "/sha256"
		fans, err := names(d.root, base)
		if err != nil {
			yield(BlobInfo{}, fmt.Errorf("list blobs: %w", err))
			return
		}
		for _, fan := range fans {
			sums, err := names(d.root, base+"/"+fan)
			if err != nil {
				yield(BlobInfo{}, fmt.Errorf("list blobs: %w", err))
				return
			}
			for _, sum := range sums {
				digest := digestPrefix + sum
				if CheckDigest(digest) != nil {
					continue
				}
				info, err := d.StatBlob(ctx, digest)
				if errors.Is(err, ErrNotFound) {
					continue // deleted meanwhile
				}
				if !yield(info, err) || err != nil {
					return
				}
			}
		}
	}
}

func names(root *os.Root, folder string) ([]string, error) {
	f, err := root.Open(folder)
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func blobPath(digest string) string {
	sum := strings.TrimPrefix(digest, digestPrefix)
	return blobFolder + "/sha256/" + sum[:2] + "/" + sum
}
