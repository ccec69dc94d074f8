package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
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

func (d *Dir) openTemp() error {
	if err := d.mkdirs(tempFolder); err != nil {
		return err
	}
	d.sweep()
	for range 10 {
		folder := tempFolder + "/" + strings.ToLower(rand.Text())
		if err := d.root.Mkdir(folder, folderMode); err != nil {
			return space(err)
		}
		f, err := d.acquire(folder + "/" + aliveFile)
		if errors.Is(err, ErrLocked) || errors.Is(err, fs.ErrNotExist) {
			continue // swept by another process before it was locked
		}
		if err != nil {
			return space(err)
		}
		d.temp, d.alive = folder, f
		return nil
	}
	return errors.New("cannot lock a folder for temporary files")
}

// sweep removes the folders of dead processes. What cannot be removed now is left
// to the next start.
func (d *Dir) sweep() {
	names, err := d.names(tempFolder)
	if err != nil {
		return
	}
	for _, name := range names {
		folder := tempFolder + "/" + name
		st, err := d.root.Stat(folder)
		if err != nil || !st.IsDir() {
			continue
		}
		if _, err := d.root.Stat(folder + "/" + aliveFile); err != nil || !haveLocks {
			if time.Since(st.ModTime()) > abandoned {
				_ = d.root.RemoveAll(folder)
			}
			continue
		}
		f, err := d.acquire(folder + "/" + aliveFile)
		if err != nil {
			continue
		}
		_ = d.root.RemoveAll(folder)
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
	f, err := d.acquire(lockFolder + "/" + name)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return f.Close, nil
}

// acquire locks the file at name, made when missing. The lock ends when the file is
// closed.
func (d *Dir) acquire(name string) (*os.File, error) {
	f, err := d.root.OpenFile(name, os.O_CREATE|os.O_RDWR, fileMode)
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
	named, err := d.root.Stat(name)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if !os.SameFile(ours, named) {
		return nil, errors.Join(ErrLocked, f.Close())
	}
	return f, nil
}
