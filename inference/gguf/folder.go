package gguf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"lorikeet/adapters/invalid"
)

// WeightsFile is what the file itself is called in its Folder.
const WeightsFile = "model.gguf"

// Folder shows a GGUF file of fsys as a Hugging Face folder: its files made from the
// metadata, and the file itself as WeightsFile.
func Folder(fsys fs.FS, name string) (fs.FS, error) {
	f, closer, err := OpenFS(fsys, name)
	if err != nil {
		return nil, err
	}
	made, err := f.files()
	if err := errors.Join(err, closer.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return folder{fsys, name, made}, nil
}

// Unfold gives the Folder of the one GGUF file in a folder that has no config.json, and
// any other folder as it is.
func Unfold(fsys fs.FS) (fs.FS, error) {
	if _, err := fs.Stat(fsys, "config.json"); err == nil {
		return fsys, nil
	}
	found, err := fs.Glob(fsys, "*.gguf")
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return fsys, nil
	case len(found) > 1:
		return nil, invalid.Field("*.gguf", "the folder has several: %s; give the path of one", strings.Join(found, ", "))
	}
	return Folder(fsys, found[0])
}

// OpenFS opens a file of fsys, which should implement io.ReaderAt as those of os.DirFS
// do; one that does not is read whole. The caller closes it.
func OpenFS(fsys fs.FS, name string) (*File, io.Closer, error) {
	file, err := fsys.Open(name)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	r, ok := file.(io.ReaderAt)
	size := info.Size()
	if !ok {
		b, err := io.ReadAll(file)
		if err != nil {
			return nil, nil, errors.Join(err, file.Close())
		}
		r, size = bytes.NewReader(b), int64(len(b))
	}
	f, err := Open(r, size)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", name, err), file.Close())
	}
	return f, file, nil
}

// files makes the files of the folder. Everything wrong is told at once.
func (f *File) files() (map[string][]byte, error) {
	config, e1 := f.Config()
	generation, e2 := f.GenerationConfig()
	made, e3 := f.Tokenizer()
	_, e4 := f.Weights()
	if err := errors.Join(e1, e2, e3, e4); err != nil {
		return nil, err
	}
	made["config.json"], made["generation_config.json"] = config, generation
	return made, nil
}

type folder struct {
	real fs.FS
	name string
	made map[string][]byte
}

// Open implements fs.FS. There is nothing to list.
func (d folder) Open(name string) (fs.File, error) {
	if name == WeightsFile {
		return d.real.Open(d.name)
	}
	b, ok := d.made[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &madeFile{bytes.NewReader(b), name}, nil
}

// madeFile is a file in memory, and its own fs.FileInfo.
type madeFile struct {
	*bytes.Reader
	name string
}

func (f *madeFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f *madeFile) Close() error               { return nil }
func (f *madeFile) Name() string               { return f.name }
func (f *madeFile) Mode() fs.FileMode          { return 0o444 }
func (f *madeFile) ModTime() time.Time         { return time.Time{} }
func (f *madeFile) IsDir() bool                { return false }
func (f *madeFile) Sys() any                   { return nil }
