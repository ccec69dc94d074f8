// Command bench measures lorikeet beside what its users would run instead, both sides in
// one run and taking turns:
//
//	go run ./service/bench peers          # once: a Python environment with the peers, pinned
//	go run ./service/bench models         # once: models of well-known shapes, random weights
//	go run ./service/bench all --json results.json --markdown docs/BENCHMARKS.md --plot docs/images/bench
//	go run ./service/bench forward --only minilm
//
// Each side is a child process that does what it is told, a line at a time, so that only
// one of them computes; both are held to the same cores. A figure is the median of the
// rounds, a ratio that of the rounds' ratios, and the spread of both is printed.
package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the settings of a run.
type options struct {
	cache    string
	python   string
	backend  string
	kernels  string
	extra    string // a second backend of ours that runs the smaller forward cases too
	threads  int
	rounds   int
	quick    bool
	noPeers  bool
	patience time.Duration
	only     []string
	json     string
	plot     string
	markdown string
	base     string // generate: a folder of the user's
	batches  []int
	source   int
	length   int
}

// group is one part of the benchmark.
type group struct {
	name, short string
	run         func(context.Context, *bench) error
}

var groups = []group{
	{"forward", "Score batches with a bare base, one adapter and a mix of eight", forward},
	{"train", "One training step, full and LoRA, and the memory it takes", training},
	{"generate", "Write texts greedily, one and eight at a time", generation},
	{"http", "Requests over HTTP, start-up and memory, beside a FastAPI server", serving},
	{"adapters", "Load an adapter; serve 1 to 1,000 registered ones", registered},
	{"tokenizers", "Tokenize generated text", tokenizing},
	{"growth", "How the time grows with batch, length, adapters, rank and clients", growth},
}

func command() *cobra.Command {
	o := &options{}
	root := &cobra.Command{Use: "bench", Short: "Measure lorikeet beside PyTorch, PEFT, ONNX Runtime, CTranslate2 and FastAPI",
		SilenceUsage: true, SilenceErrors: true}
	f := root.PersistentFlags()
	f.StringVar(&o.cache, "cache", cacheFolder(), "folder for the peers, the models and our own binary")
	f.StringVar(&o.python, "python", "", "a Python that has the peers (default the one that \"bench peers\" made)")
	f.StringVar(&o.backend, "backend", "auto", "our compute backend")
	f.StringVar(&o.kernels, "kernels", "auto", "the service's --kernels")
	f.StringVar(&o.extra, "also", "", `a second backend of ours, for example "go", for MiniLM up to 8x128`)
	f.IntVar(&o.threads, "threads", runtime.NumCPU(), "cores that each side may use")
	f.IntVar(&o.rounds, "rounds", 5, "measurements of each side")
	f.BoolVar(&o.quick, "quick", false, "tiny models and few rounds: shows that everything runs, and measures nothing")
	f.BoolVar(&o.noPeers, "no-peers", false, "ours alone")
	f.StringArrayVar(&o.only, "only", nil, "run only the cases whose group and name contain this (repeatable)")
	f.DurationVar(&o.patience, "patience", 0, "how long a case may wait until other programs leave the machine alone; one that was disturbed is measured again")
	f.StringVar(&o.json, "json", "", "file to write the results to")
	f.StringVar(&o.plot, "plot", "", "folder to write plots (PNG) to")
	f.StringVar(&o.markdown, "markdown", "", "file whose generated tables are to be replaced (made if it is missing)")

	all := &cobra.Command{Use: "all", Short: "Everything below", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), groups) }}
	root.AddCommand(all)
	for _, g := range groups {
		c := &cobra.Command{Use: g.name, Short: g.short, Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), []group{g}) }}
		if g.name == "generate" {
			c.Flags().StringVar(&o.base, "base", "", "folder of a model that writes, instead of those that \"bench models\" makes")
			c.Flags().IntSliceVar(&o.batches, "batch", []int{1, 8}, "texts at once")
			c.Flags().IntVar(&o.source, "source", 32, "tokens of each prompt")
			c.Flags().IntVar(&o.length, "new", 64, "tokens to write for each")
		}
		root.AddCommand(c)
	}
	root.AddCommand(
		&cobra.Command{Use: "peers", Short: "Install the peers into a Python environment of their own", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return o.installPeers(cmd.Context()) }},
		&cobra.Command{Use: "models", Short: "Make the models", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return o.makeModels(cmd.Context()) }},
		&cobra.Command{Use: "show FILE…", Short: "Print the results that --json wrote, and write --markdown and --plot from them", Args: cobra.MinimumNArgs(1),
			Long: "Print the results that --json wrote, and write --markdown and --plot from them. Files of one machine are shown together, as after a run group by group.",
			RunE: func(_ *cobra.Command, args []string) error { return o.show(args) }},
		&cobra.Command{Use: "child KIND JSON", Hidden: true, Args: cobra.ExactArgs(2),
			RunE: func(cmd *cobra.Command, args []string) error { return child(cmd.Context(), args[0], args[1]) }},
	)
	return root
}

func cacheFolder() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "lorikeet", "bench")
}

// bench is a run.
type bench struct {
	*options
	ctx     context.Context // ends the sides when the user does
	report  report
	scratch string
	file    string // the program itself, which is also our side
}

func (o *options) run(ctx context.Context, which []group) (err error) {
	if o.threads < 1 || o.threads > runtime.NumCPU() {
		return fmt.Errorf("--threads must be between 1 and %d", runtime.NumCPU())
	}
	if o.rounds < 1 {
		return fmt.Errorf("--rounds must be at least 1")
	}
	if o.quick {
		o.rounds = min(o.rounds, 2)
	}
	b := &bench{options: o, ctx: ctx}
	if b.file, err = os.Executable(); err != nil {
		return err
	}
	if b.scratch, err = os.MkdirTemp("", "lorikeet-bench-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.scratch) }()
	b.report.Machine = machine(o.threads)
	b.report.Rounds = o.rounds
	b.report.Quick = o.quick
	b.report.Command = "go run ./service/bench " + strings.Join(os.Args[1:], " ")
	fmt.Println(b.report.Machine)
	for _, g := range which {
		fmt.Printf("\n== %s: %s\n", g.name, g.short)
		err := g.run(ctx, b)
		if err != nil {
			err = fmt.Errorf("%s: %w", g.name, err)
		}
		// What there is so far is kept, should this part or a later one fail or be broken off.
		if err := errors.Join(err, o.write(&b.report)); err != nil {
			return err
		}
	}
	if len(b.report.Cases) == 0 {
		return fmt.Errorf("no case matches --only %s", strings.Join(o.only, " or "))
	}
	fmt.Println()
	fmt.Print(b.report.summary())
	return nil
}

// write stores the report wherever the options want it.
func (o *options) write(r *report) error {
	if o.json != "" {
		if err := r.save(o.json); err != nil {
			return err
		}
	}
	if o.plot != "" {
		if err := r.plot(o.plot); err != nil {
			return err
		}
	}
	if o.markdown != "" {
		return r.markdownFile(o.markdown, o.plot)
	}
	return nil
}

func (o *options) show(files []string) error {
	var r *report
	for i, file := range files {
		part, err := openReport(file)
		if err != nil {
			return err
		}
		if i == 0 {
			r = part
			continue
		}
		if part.Machine.String() != r.Machine.String() {
			return fmt.Errorf("%s is of another machine than %s: %s, %s", file, files[0], part.Machine, r.Machine)
		}
		maps.Copy(r.Machine.Versions, part.Machine.Versions)
		r.Command += "\n" + part.Command
		r.Cases = append(r.Cases, part.Cases...)
	}
	fmt.Println(r.Machine)
	for _, c := range r.Cases {
		fmt.Print(c)
	}
	fmt.Println()
	fmt.Print(r.summary())
	return o.write(r)
}

// wants reports whether --only asks for any of these cases.
func (o *options) wants(group string, names ...string) bool {
	return len(o.only) == 0 || slices.ContainsFunc(names, func(name string) bool {
		return slices.ContainsFunc(o.only, func(w string) bool { return strings.Contains(group+" "+name, w) })
	})
}

// pick is one of two values, by --quick.
func pick[V any](o *options, quick, full V) V {
	if o.quick {
		return quick
	}
	return full
}
