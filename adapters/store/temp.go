package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// Each handle on a store writes below a folder of its own and holds a lock on a file
// in it. A folder whose lock is free belongs to a process that is dead: process
// numbers are used again and mean nothing on another machine, locks do not outlive
// their owner.
const aliveFile = "alive"

// abandoned is how old a folder without a lock file must be before it is taken for
// dead: its owner may be about to make the file. Where there are no locks, every
// folder of that age is.
const abandoned = 24 * time.Hour

// Scratch makes a folder below dir for this process's temporary files and returns its
// path. It is removed by release, or by the next call for dir after the process has
// died.
func Scratch(dir string) (path string, release func() error, err error) {
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return "", nil, fmt.Errorf("scratch folder: %w", space(err))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", nil, fmt.Errorf("scratch folder: %w", err)
	}
	folder, alive, err := openTemp(root, ".")
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("scratch folder %s: %w", dir, err), root.Close())
	}
	return filepath.Join(dir, folder), func() error {
		return errors.Join(root.RemoveAll(folder), alive.Close(), root.Close())
	}, nil
}

// openTemp makes a folder of this process's own below base, after removing those of
// the dead.
func openTemp(root *os.Root, base string) (folder string, alive *os.File, err error) {
	sweep(root, base)
	for range 10 {
		folder := path.Join(base, scratchPrefix+strings.ToLower(rand.Text()))
		if err := root.Mkdir(folder, folderMode); err != nil {
			return "", nil, space(err)
		}
		f, err := acquire(root, folder+"/"+aliveFile)
		if errors.Is(err, ErrLocked) || errors.Is(err, fs.ErrNotExist) {
			continue // swept by another process before it was locked
		}
		if err != nil {
			return "", nil, space(err)
		}
		return folder, f, nil
	}
	return "", nil, errors.New("cannot lock a folder for temporary files")
}

// scratchPrefix tells our folders from others.
const scratchPrefix = "process-"

// sweep removes the folders of dead processes. What cannot be removed now is left
// to the next start.
func sweep(root *os.Root, base string) {
	all, err := names(root, base)
	if err != nil {
		return
	}
	for _, name := range all {
		folder := path.Join(base, name)
		st, err := root.Stat(folder)
		if err != nil || !st.IsDir() || !strings.HasPrefix(name, scratchPrefix) {
			continue
		}
		if _, err := root.Stat(folder + "/" + aliveFile); err != nil || !haveLocks {
			if time.Since(st.ModTime()) > abandoned {
				_ = root.RemoveAll(folder)
			}
			continue
		}
		f, err := acquire(root, folder+"/"+aliveFile)
		if err != nil {
			continue
		}
		_ = root.RemoveAll(folder)
		_ = f.Close()
	}
}

// Lock takes the lock called name for this process, or fails with [ErrLocked]. It is
// given back by unlock or when the process ends. Only a Dir has locks, and only for
// what concerns one folder: an object store has none, and the job protocol needs
// none.
func (d *Dir) Lock(ctx context.Context, name string) (unlock func() error, err error) {
	if !validElement(name) {
		return nil, fmt.Errorf("%w: %q", ErrKey, clip(name))
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if err := d.mkdirs(lockFolder); err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	f, err := acquire(d.root, lockFolder+"/"+name)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return f.Close, nil
}

// acquire locks the file at name, made when missing. The lock ends when the file is
// closed.
func acquire(root *os.Root, name string) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_CREATE|os.O_RDWR, fileMode)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	// Whoever held it before may have removed the file: then we hold a lock on
	// nothing.
	ours, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	named, err := root.Stat(name)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if !os.SameFile(ours, named) {
		return nil, errors.Join(ErrLocked, f.Close())
	}
	return f, nil
}
