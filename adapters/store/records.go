package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A record's file holds its bytes and then a line with their digest, so that a flipped
// bit is told from a record.
const trailerLength = len("\n") + len(digestPrefix) + 2*sha256.Size + len("\n")

func seal(data []byte) []byte {
	sum := sha256.Sum256(data)
	return fmt.Appendf(slices.Clip(data), "\n%s%x\n", digestPrefix, sum)
}

// unseal returns the bytes that seal was given, or false.
func unseal(file []byte) ([]byte, bool) {
	n := len(file) - trailerLength
	if n < 0 {
		return nil, false
	}
	return file[:n:n], bytes.Equal(file, seal(file[:n]))
}

// Create writes the record key, or fails with [ErrExists] when there is one already.
// When it returns nil the record is durable. When it returns another error there is
// no record of this call's, save after a crash of the machine. A full disk is
// [ErrNoSpace].
func (d *Dir) Create(ctx context.Context, key string, data []byte) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := d.createRecord(key, data); err != nil {
		return fmt.Errorf("create %s: %w", key, err)
	}
	return nil
}

func (d *Dir) createRecord(key string, data []byte) error {
	f, temp, err := d.create()
	if err != nil {
		return err
	}
	defer func() { _ = d.root.Remove(temp) }() // a leftover is removed at the next opening
	_, err = f.Write(seal(data))
	if err == nil {
		err = d.sync(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return space(err)
	}

	folder := path.Dir(key)
	for range 1000 { // Delete may take empty folders away in between
		if err = d.mkdirs(folder); err == nil {
			err = d.root.Link(temp, key)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		if st, serr := d.root.Stat(key); serr == nil && st.IsDir() {
			return fmt.Errorf("%w: it is a folder of other keys", ErrKey)
		}
		// The winner may have died before its name was durable, and our caller
		// is about to rely on it.
		if err := d.syncDir(folder); err != nil && !missing(err) {
			return err
		}
		return ErrExists
	case err != nil:
		return space(err)
	}
	// A folder that is missing went with the record, which was deleted since.
	if err := d.syncDir(folder); err != nil && !missing(err) {
		// The caller is told of no record, so none may stay.
		return errors.Join(err, d.root.Remove(key))
	}
	return nil
}

// Get returns the record key, or fails with [ErrNotFound] or [ErrCorrupt].
func (d *Dir) Get(ctx context.Context, key string) ([]byte, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	file, err := d.root.ReadFile(key)
	if missing(err) || errors.Is(err, syscall.EISDIR) {
		return nil, fmt.Errorf("get %s: %w", key, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	data, ok := unseal(file)
	if !ok {
		return nil, fmt.Errorf("get %s: %w", key, ErrCorrupt)
	}
	return data, nil
}

// Created is when the record key was created, by the store's own clock, or fails with
// [ErrNotFound]. What copies a store may set it anew.
func (d *Dir) Created(ctx context.Context, key string) (time.Time, error) {
	if err := CheckKey(key); err != nil {
		return time.Time{}, err
	}
	if err := context.Cause(ctx); err != nil {
		return time.Time{}, err
	}
	st, err := d.root.Stat(key)
	if missing(err) || err == nil && st.IsDir() {
		return time.Time{}, fmt.Errorf("time of %s: %w", key, ErrNotFound)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("time of %s: %w", key, err)
	}
	return st.ModTime(), nil
}

// missing reports that a path does not exist, or leads through a record.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// List returns the keys that begin with prefix, sorted bytewise. It is no snapshot:
// a record created or deleted meanwhile may be in it or not. But folders are looked into
// in order, as buckets are: with a record of "a/" all those of "b/" are in it that had
// been created before that one.
func (d *Dir) List(ctx context.Context, prefix string) ([]string, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	var keys []string
	var walk func(folder, begin string) error
	walk = func(folder, begin string) error {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		entries, err := d.entries(folder, begin)
		if err != nil {
			return err
		}
		slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
		for _, e := range entries {
			at := path.Join(folder, e.Name())
			if !e.IsDir() {
				keys = append(keys, at)
			} else if err := walk(at, ""); err != nil {
				return err
			}
		}
		return nil
	}
	folder, begin := split(prefix)
	if err := walk(folder, begin); err != nil {
		return nil, fmt.Errorf("list %s: %w", prefix, err)
	}
	slices.Sort(keys)
	return keys, nil
}

// Children returns the distinct elements that come next after prefix, which is empty
// or ends with a slash, in the keys that begin with it, sorted.
func (d *Dir) Children(ctx context.Context, prefix string) ([]string, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		return nil, fmt.Errorf("%w: prefix %q does not end with a slash", ErrKey, clip(prefix))
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	folder, _ := split(prefix)
	entries, err := d.entries(folder, "")
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", prefix, err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names, nil
}

// split separates the folder of a prefix from the beginning of an element.
func split(prefix string) (folder, begin string) {
	i := strings.LastIndexByte(prefix, '/')
	if i < 0 {
		return ".", prefix
	}
	return prefix[:i], prefix[i+1:]
}

// entries lists the records and folders of records in folder. What cannot be part
// of a key (.DS_Store, lost+found) is not ours.
func (d *Dir) entries(folder, begin string) ([]fs.DirEntry, error) {
	f, err := d.root.Open(folder)
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all, err := f.ReadDir(-1)
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(e fs.DirEntry) bool {
		return !strings.HasPrefix(e.Name(), begin) || !validElement(e.Name()) ||
			!e.IsDir() && !e.Type().IsRegular() ||
			folder == "." && reserved(e.Name())
	}), nil
}

// Delete removes the record key durably. Deleting what is not there is no error.
func (d *Dir) Delete(ctx context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if st, err := d.root.Lstat(key); missing(err) || err == nil && st.IsDir() {
		return nil
	}
	if err := d.root.Remove(key); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	folder := path.Dir(key)
	if err := d.syncDir(folder); err != nil && !missing(err) {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	// An object store has no empty folders, so neither have we.
	for folder != "." && d.root.Remove(folder) == nil {
		folder = path.Dir(folder)
	}
	return nil
}
