// Fresh makes a model that has learned nothing: the weights that a config.json asks for,
// drawn at random as transformers draws them, in a folder that the service serves and
// tunes. Train it with POST /tune/full.
//
//	go run ./examples/fresh --config config.json --tokenizer DIR --out DIR --seed 1
//	go run ./examples/fresh --config config.json --rows en_zh.jsonl --columns en,zh --vocab 6000 --out DIR
//
// The second makes a Marian's vocabulary of the rows, too.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"lorikeet/inference"
	"lorikeet/inference/checkpoint"
)

const help = `Makes a model that has learned nothing: the weights that a config.json asks for, drawn
at random as transformers draws them, beside a tokenizer. Train it with POST /tune/full.

`

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "fresh:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("fresh", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), help)
		flags.PrintDefaults()
	}
	config := flags.String("config", "", "config.json of the model")
	tokenizer := flags.String("tokenizer", "", "folder to copy the tokenizer from")
	rows := flags.String("rows", "", "JSON lines to make the vocabulary of a Marian of, in place of --tokenizer")
	columns := flags.String("columns", "source,target", "of --rows: the two texts of a row")
	vocab := flags.Int("vocab", 6000, "of --rows: how many tokens")
	to := flags.String("out", "", "folder to write; it may not hold a model yet")
	seed := flags.Uint64("seed", 1, "of the random numbers")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case *config == "" || *to == "":
		return errors.New("--config and --out are needed")
	case (*tokenizer == "") == (*rows == ""):
		return errors.New("give one of --tokenizer and --rows")
	}
	if _, err := os.Stat(filepath.Join(*to, checkpoint.WeightsFile)); err == nil {
		return fmt.Errorf("--out: %s holds a model already", *to)
	}
	text, err := os.ReadFile(*config)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	var settings map[string]any
	if err := json.Unmarshal(text, &settings); err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	if err := os.MkdirAll(*to, 0o755); err != nil {
		return err
	}
	if *rows != "" {
		pair := strings.Split(*columns, ",")
		if len(pair) != 2 {
			return fmt.Errorf("--columns: want two names with a comma between, got %q", *columns)
		}
		n, err := writeMarianVocabulary(*to, *rows, [2]string(pair), *vocab)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "a vocabulary of %d tokens from %s\n", n, *rows)
		fitVocabulary(settings, n)
		if text, err = json.MarshalIndent(settings, "", "  "); err != nil {
			return err
		}
	} else if err := copyTokenizer(*to, os.DirFS(*tokenizer)); err != nil {
		return fmt.Errorf("--tokenizer: %w", err)
	}
	tensors, err := draw(text, *seed)
	if err != nil {
		return err
	}
	if err := checkpoint.WriteDir(*to, append(text, '\n'), tensors, map[string]string{"format": "pt"}); err != nil {
		return err
	}
	// What cannot be opened is not worth training.
	base, err := inference.OpenBase("fresh", *to, os.DirFS(*to))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %s, %d parameters at random (seed %d)\n", *to, base.Facts().Family, base.Parameters(), *seed)
	return base.Close()
}

// fitVocabulary gives a Marian's configuration the sizes and the ids that its
// vocabulary has: the end first, the padding, with which the decoder starts, last.
func fitVocabulary(settings map[string]any, n int) {
	for _, name := range []string{"vocab_size", "decoder_vocab_size"} {
		settings[name] = n
	}
	for _, name := range []string{"pad_token_id", "decoder_start_token_id"} {
		settings[name] = n - 1
	}
	for _, name := range []string{"eos_token_id", "forced_eos_token_id"} {
		settings[name] = 0
	}
	delete(settings, "bad_words_ids")
}

func copyTokenizer(to string, dir fs.FS) error {
	copied := 0
	for _, name := range inference.TokenizerFiles {
		b, err := fs.ReadFile(dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), b, 0o644)
		}
		if err != nil {
			return err
		}
		copied++
	}
	if copied == 0 {
		return errors.New("the folder holds none of a tokenizer's files")
	}
	return nil
}
