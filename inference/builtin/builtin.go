// Package builtin carries base models in the binary, so that the service answers and
// tunes with no network and no files. Each is a Hugging Face folder of its own, made by
// a program in pretrain; its MODEL.md says how, from what text, and how well it does.
package builtin

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"lorikeet/adapters/invalid"
)

// folders are the models: the name of a folder is the name of its model.
//
//go:embed tiny-bert tiny-t5
var folders embed.FS

// Names lists the models, in alphabetical order.
func Names() []string {
	entries, err := folders.ReadDir(".")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}

// Open gives a model's folder. Its files implement io.ReaderAt and hold no memory of
// their own: they are read where the binary is mapped. An unknown name is an
// invalid.Fault that lists the known ones.
func Open(name string) (fs.FS, error) {
	for _, known := range Names() {
		if name == known {
			return fs.Sub(folders, name)
		}
	}
	return nil, invalid.Field("builtin", "there is no built-in model %q; there are %s", name, strings.Join(Names(), ", "))
}

// Card gives a model's MODEL.md.
func Card(name string) (string, error) {
	dir, err := Open(name)
	if err != nil {
		return "", err
	}
	b, err := fs.ReadFile(dir, "MODEL.md")
	if err != nil {
		return "", fmt.Errorf("builtin %s: %w", name, err)
	}
	return string(b), nil
}
