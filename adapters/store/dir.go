package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sync/atomic"
	"syscall"
)

// Layout of a Dir, below its root:
//
//	<key>                          a record; its key is its path. See seal
//	blobs/sha256/<ab>/<hex>        a blob; ab are its first two digits
//	tmp/<process>/<n>              what a process is writing; gone when it dies
//	locks/<name>                   see Lock
const (
	blobFolder = "blobs"
	tempFolder = "tmp"
	lockFolder = "locks"
)

// Permissions. Processes that share a store run as one user.
const (
	folderMode = 0o750
	fileMode   = 0o600
)

// Dir is a store on a directory. Processes on several machines may share one over a
// network file system that has atomic link(2) and close-to-open consistency. It is
// safe for concurrent use.
type Dir struct {
	root  *os.Root
	temp  string   // this handle's folder of temporary files
	alive *os.File // locked as long as temp is in use
	next  atomic.Int64

	sync func(*os.File) error // (*os.File).Sync; tests make it fail
}

// OpenDir opens the store on the directory at path and makes it when there is none.
// It removes what processes that have died left half written. Nothing outside path
// can be reached through it.
func OpenDir(path string) (*Dir, error) {
	if err := os.MkdirAll(path, folderMode); err != nil {
		return nil, fmt.Errorf("store: %w", space(err))
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	d := &Dir{root: root, sync: (*os.File).Sync}
	err = d.mkdirs(tempFolder)
	if err == nil {
		d.temp, d.alive, err = openTemp(root, tempFolder)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store %s: %w", path, err), root.Close())
	}
	if err := d.probe(); err != nil {
		return nil, errors.Join(fmt.Errorf("store %s: %w", path, err), d.Close())
	}
	return d, nil
}

// Close gives up the store's handles and temporary files.
func (d *Dir) Close() error {
	return errors.Join(
		d.root.RemoveAll(d.temp),
		d.alive.Close(),
		d.root.Close(),
	)
}

// probe finds out at start, not at the first submission, that a file system cannot
// link: FAT and some network mounts cannot.
func (d *Dir) probe() error {
	f, name, err := d.create()
	if err != nil {
		return err
	}
	defer func() { _ = d.root.Remove(name) }() // a leftover is removed at the next opening
	if err := f.Close(); err != nil {
		return err
	}
	if err := d.root.Link(name, name+".link"); err != nil {
		return fmt.Errorf("the file system has no hard links, which records need: %w", err)
	}
	return d.root.Remove(name + ".link")
}

// create makes a new temporary file.
func (d *Dir) create() (*os.File, string, error) {
	name := fmt.Sprintf("%s/%d", d.temp, d.next.Add(1))
	f, err := d.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
	return f, name, space(err)
}

// mkdirs makes folder and its parents durably.
func (d *Dir) mkdirs(folder string) error {
	if folder == "." {
		return nil
	}
	if st, err := d.root.Stat(folder); err == nil {
		if !st.IsDir() {
			return fmt.Errorf("%w: %q is a record", ErrKey, folder)
		}
		return nil
	}
	parent := path.Dir(folder)
	if err := d.mkdirs(parent); err != nil {
		return err
	}
	if err := d.root.Mkdir(folder, folderMode); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return space(err)
	}
	return d.syncDir(parent)
}

// syncDir makes the names in folder durable.
func (d *Dir) syncDir(folder string) error {
	f, err := d.root.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	// Some file systems have nothing to sync for a folder and say EINVAL.
	if err := d.sync(f); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return space(err)
	}
	return nil
}

// space marks the errors of a disk or quota that is full, and of one that may not be
// written.
func space(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: %w", ErrDenied, err)
	}
	return err
}
