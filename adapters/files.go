package adapters

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"time"

	"lorikeet/adapters/safetensors"
	"lorikeet/adapters/store"
)

// Open reads an adapter's files, verified against their digests.
func (r *Registry) Open(ctx context.Context, v Version, base Layout) (*Adapter, error) {
	config, err := r.bytes(ctx, v, ConfigFile)
	if err != nil {
		return nil, err
	}
	weights, err := r.bytes(ctx, v, WeightsFile)
	if err != nil {
		return nil, err
	}
	file, err := safetensors.Open(bytes.NewReader(weights), int64(len(weights)))
	if err != nil {
		return nil, fmt.Errorf("adapter %s: %w", v.Ref, err)
	}
	a, err := Read(config, file, base)
	if err != nil {
		return nil, fmt.Errorf("adapter %s: %w", v.Ref, err)
	}
	if _, ok := v.Files[CalibrationFile]; ok {
		b, err := r.bytes(ctx, v, CalibrationFile)
		if err != nil {
			return nil, err
		}
		c, err := ParseCalibration(b)
		if err != nil {
			return nil, fmt.Errorf("adapter %s: %w", v.Ref, err)
		}
		a.Calibration = &c
	}
	return a, nil
}

func (r *Registry) bytes(ctx context.Context, v Version, name string) ([]byte, error) {
	f, ok := v.Files[name]
	if !ok {
		return nil, fmt.Errorf("%w: %s has no file %s; files: %q", ErrNotFound, v.Ref, name, slices.Sorted(maps.Keys(v.Files)))
	}
	var b bytes.Buffer
	if _, err := r.store.Fetch(ctx, f.Digest, &b); err != nil {
		if errors.Is(err, store.ErrCorrupt) {
			err = fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		return nil, fmt.Errorf("adapter %s: %s: %w", v.Ref, name, err)
	}
	return b.Bytes(), nil
}

// OpenFile opens one file of a version as it is stored.
func (r *Registry) OpenFile(ctx context.Context, v Version, name string) (store.Blob, File, error) {
	f, ok := v.Files[name]
	if !ok {
		return nil, f, fmt.Errorf("%w: %s has no file %s; files: %q", ErrNotFound, v.Ref, name, slices.Sorted(maps.Keys(v.Files)))
	}
	b, err := r.store.OpenBlob(ctx, f.Digest)
	if err != nil {
		return nil, f, fmt.Errorf("adapter %s: %s: %w", v.Ref, name, err)
	}
	return b, f, nil
}

// Put stores a file for a version that will be registered.
func (r *Registry) Put(ctx context.Context, content io.Reader) (File, error) {
	digest, size, err := r.store.PutBlob(ctx, content)
	return File{Digest: digest, Size: size}, err
}

// Verify reads every file of a version and compares its digest.
func (r *Registry) Verify(ctx context.Context, v Version) error {
	for name, f := range v.Files {
		if err := r.store.VerifyBlob(ctx, f.Digest); err != nil {
			if errors.Is(err, store.ErrCorrupt) {
				err = fmt.Errorf("%w: %w", ErrCorrupt, err)
			}
			return fmt.Errorf("adapter %s: %s: %w", v.Ref, name, err)
		}
	}
	return nil
}

// Folder shows the files of a version as a folder.
func (r *Registry) Folder(ctx context.Context, v Version) fs.FS { return folder{ctx, r, v} }

type folder struct {
	ctx context.Context
	r   *Registry
	v   Version
}

// Open implements fs.FS.
func (f folder) Open(name string) (fs.File, error) {
	file, ok := f.v.Files[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	b, err := f.r.store.OpenBlob(f.ctx, file.Digest)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return blobFile{b, name}, nil
}

// blobFile is a blob as a file; it can be read at any offset.
type blobFile struct {
	store.Blob
	name string
}

// Stat implements fs.File.
func (b blobFile) Stat() (fs.FileInfo, error) { return b, nil }

// Name implements fs.FileInfo.
func (b blobFile) Name() string { return b.name }

// Mode implements fs.FileInfo.
func (b blobFile) Mode() fs.FileMode { return 0o444 }

// ModTime implements fs.FileInfo: blobs do not change.
func (b blobFile) ModTime() time.Time { return time.Time{} }

// IsDir implements fs.FileInfo.
func (b blobFile) IsDir() bool { return false }

// Sys implements fs.FileInfo.
func (b blobFile) Sys() any { return nil }
