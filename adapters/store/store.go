// Package store keeps the truth: small immutable records under keys, and
// content-addressed blobs. The one primitive that the job protocol and the adapter
// registry rest on is [Dir.Create]: of any number of writers of one key, in any
// number of processes, exactly one succeeds, and what it wrote is durable and whole
// before anyone can see it. A record is never changed; it is at most deleted.
//
// The method set is that of an object store on purpose: a store is a [Dir] or an [S3],
// with the same keys and bytes in both, so that one is copied into the other by any tool
// that copies files.
package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Errors that callers act on.
var (
	ErrExists      = errors.New("record exists")
	ErrNotFound    = errors.New("not found in the store")
	ErrNoSpace     = errors.New("no space left in the store")
	ErrDenied      = errors.New("access to the store is denied")
	ErrUnavailable = errors.New("the store cannot be reached")
	ErrCorrupt     = errors.New("content does not match its digest")
	ErrKey         = errors.New("malformed key")
	ErrLocked      = errors.New("locked by another process")
)

// Blob is an open blob. ReadAt may be called from several goroutines at once. The
// content is not verified while it is read this way; see [Dir.Fetch].
type Blob interface {
	io.Reader
	io.ReaderAt
	io.Closer
	Size() int64 // bytes
}

// BlobInfo describes a stored blob. ModTime is when it was last put: putting the
// same content again renews it.
type BlobInfo struct {
	Digest  string // "sha256:<64 hex digits>"
	Size    int64  // bytes
	ModTime time.Time
}

// Limits of a key, in bytes. S3 allows 1024 for a key; file systems 255 for an
// element.
const (
	maxKey     = 512
	maxElement = 128
)

// CheckKey reports an error that wraps [ErrKey] unless key is one or more elements
// joined by single slashes, each of a-z, 0-9, '.', '_', '-', '@' and '+' and
// beginning with a letter, a digit or '_'. Capital letters are refused because some
// file systems cannot tell them apart. A key must not be a folder of another key.
func CheckKey(key string) error {
	if key == "" || len(key) > maxKey {
		return fmt.Errorf("%w: a key has 1 to %d bytes", ErrKey, maxKey)
	}
	for e := range strings.SplitSeq(key, "/") {
		if !validElement(e) {
			return fmt.Errorf("%w: %q in %q", ErrKey, clip(e), clip(key))
		}
	}
	if reserved(key) {
		return fmt.Errorf("%w: %q is reserved", ErrKey, clip(key))
	}
	return nil
}

// checkPrefix accepts what a key can begin with: whole elements, then perhaps a part
// of one.
func checkPrefix(prefix string) error {
	if len(prefix) > maxKey {
		return fmt.Errorf("%w: a prefix has at most %d bytes", ErrKey, maxKey)
	}
	rest := prefix
	for rest != "" {
		e, after, _ := strings.Cut(rest, "/")
		if !validElement(e) {
			return fmt.Errorf("%w: %q in prefix %q", ErrKey, clip(e), clip(prefix))
		}
		rest = after
	}
	if strings.Contains(prefix, "/") && reserved(prefix) {
		return fmt.Errorf("%w: %q is reserved", ErrKey, clip(prefix))
	}
	return nil
}

// reserved are the folders of a store that hold no records.
func reserved(key string) bool {
	first, _, _ := strings.Cut(key, "/")
	return first == blobFolder || first == tempFolder || first == lockFolder
}

func validElement(e string) bool {
	if e == "" || len(e) > maxElement {
		return false
	}
	for i := range len(e) {
		c := e[i]
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_':
		case i > 0 && (c == '.' || c == '-' || c == '@' || c == '+'):
		default:
			return false
		}
	}
	return true
}

const digestPrefix = "sha256:"

// CheckDigest reports an error that wraps [ErrKey] unless digest is "sha256:" and 64
// lower-case hexadecimal digits.
func CheckDigest(digest string) error {
	sum, ok := strings.CutPrefix(digest, digestPrefix)
	if !ok || len(sum) != 2*sha256.Size || strings.ToLower(sum) != sum {
		return fmt.Errorf("%w: %q is not a digest", ErrKey, clip(digest))
	}
	if _, err := hex.DecodeString(sum); err != nil {
		return fmt.Errorf("%w: %q is not a digest", ErrKey, clip(digest))
	}
	return nil
}

// copyVerified copies b to w and fails with ErrCorrupt when the bytes are not those
// that digest names. The caller must not use what it was given before then.
func copyVerified(ctx context.Context, b io.Reader, digest string, w io.Writer) (int64, error) {
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(h, w), reader{ctx, b})
	if err != nil {
		return n, fmt.Errorf("blob %s: %w", digest, err)
	}
	if got := digestPrefix + hex.EncodeToString(h.Sum(nil)); got != digest {
		return n, fmt.Errorf("blob %s: %w (it is %s, %d bytes)", digest, ErrCorrupt, got, n)
	}
	return n, nil
}

// reader ends a long copy when its context does.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// clip keeps hostile names out of logs and error bodies.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
