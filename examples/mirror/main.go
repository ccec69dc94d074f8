// Mirror lays out a folder that examples/hub serves: stand-ins, under the names of the
// real repositories, for all that the examples ask of the hub.
//
//	go run ./examples/mirror --root DIR
//
// What it writes is made of what is in the binary and on this machine; nothing is
// downloaded, and none of it is what its name says.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lorikeet/inference/builtin"
)

const help = `Lays out a mirror of the hub for machines that cannot reach it: stand-ins under the
names of the real repositories, so that the examples run as they are written. Serve it
with examples/hub.

`

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "mirror:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("mirror", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), help)
		flags.PrintDefaults()
	}
	root := flags.String("root", "", "the folder to fill")
	reviews := flags.String("reviews", "../shared/data/sentiment/uci_sentences/imdb_labelled.jsonl",
		"rows for stanfordnlp/imdb: JSON lines with text and label 0 or 1; where the file is missing, the reviews of this repository")
	t5 := flags.String("t5", "../shared/fixtures/flan-t5",
		"folder of a T5 for google/flan-t5-small, where no T5 is built in; where it is missing, there is none")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *root == "" {
		return errors.New("--root: name the folder to fill")
	}
	say := func(name, format string, what ...any) {
		fmt.Fprintf(out, "%-32s a stand-in: %s\n", name, fmt.Sprintf(format, what...))
	}
	if err := exportBuiltin(*root, "google-bert/bert-base-uncased", "tiny-bert"); err != nil {
		return err
	}
	say("google-bert/bert-base-uncased", "the built-in tiny-bert, 5 M parameters, not BERT's 110 M")
	switch _, err := os.Stat(filepath.Join(*t5, "config.json")); {
	case slices.Contains(builtin.Names(), "tiny-t5"):
		if err := exportBuiltin(*root, "google/flan-t5-small", "tiny-t5"); err != nil {
			return err
		}
		say("google/flan-t5-small", "the built-in tiny-t5, not Flan's 77 M parameters")
	case err == nil:
		if err := export(*root, "google/flan-t5-small", os.DirFS(*t5)); err != nil {
			return err
		}
		say("google/flan-t5-small", "%s, which may never have learned anything", *t5)
	default:
		fmt.Fprintf(out, "%-32s not there: no T5 is built in, and there is no %s\n", "google/flan-t5-small", *t5)
	}
	set, err := imdb(*reviews)
	if err != nil {
		return err
	}
	if err := set.write(filepath.Join(*root, "datasets", "stanfordnlp", "imdb")); err != nil {
		return err
	}
	say("stanfordnlp/imdb", "%d + %d rows of %s, not IMDB's 25,000 + 25,000", len(set.train), len(set.test), set.source)
	return nil
}

func exportBuiltin(root, repo, name string) error {
	dir, err := builtin.Open(name)
	if err != nil {
		return err
	}
	return export(root, repo, dir)
}

// export copies the files of a model that the service reads.
func export(root, repo string, dir fs.FS) error {
	to := filepath.Join(root, "models", filepath.FromSlash(repo))
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		keep := slices.Contains([]string{".json", ".txt", ".model", ".spm", ".jinja"}, filepath.Ext(e.Name())) || e.Name() == "model.safetensors"
		if e.IsDir() || !keep || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if err := copyFile(filepath.Join(to, e.Name()), dir, e.Name()); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(path string, dir fs.FS, name string) error {
	in, err := dir.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
