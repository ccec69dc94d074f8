//go:build unix

// Command soak puts real services under load and checks what they say:
//
//	go run ./service/soak swaps --requests 10000 --seed 7
//	go run ./service/soak load --clients 16 --duration 60s
//
// swaps asks two replicas while adapters come, go and are damaged, and checks every
// answer against the digest that it names. load asks for twice what the service can do,
// and then stops it in the middle of that. The services are processes of their own, built
// from this source; all of it stays on the loopback.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		if errors.Is(err, errViolated) {
			os.Exit(1)
		}
		os.Exit(2)
	}
}

// errViolated: the service broke a promise.
var errViolated = errors.New("promises were broken")

// common are the flags of both commands.
type common struct {
	seed    uint64
	backend string
	binary  string
	dir     string
	json    bool
	quiet   bool

	out, progress io.Writer
}

func (c *common) flags(f *pflag.FlagSet) {
	f.Uint64Var(&c.seed, "seed", 0, "of everything that is drawn; 0: one that is printed. How processes interleave is up to the machine")
	f.StringVar(&c.backend, "backend", "auto", "compute backend of the services; go starts fastest")
	f.StringVar(&c.binary, "service", "", "a service that is built already; empty: it is built with go build, from the module in the working directory")
	f.StringVar(&c.dir, "dir", "", "folder for stores and logs; empty: a temporary one, kept when something is wrong")
	f.BoolVar(&c.json, "json", false, "print the result as JSON")
	f.BoolVar(&c.quiet, "quiet", false, "show no progress")
}

// command is the command line. Exit status 1: a promise was broken; 2: the run failed.
func command() *cobra.Command {
	c := &common{}
	root := &cobra.Command{Use: "soak", Short: "Put real services under load and check what they say", SilenceUsage: true, SilenceErrors: true,
		Args: cobra.NoArgs,
		Long: `Builds the service, starts it as processes of its own on the loopback, puts load on it and checks its answers.
The exit status is 1 when the service broke a promise, 2 when the run itself failed.`,
		PersistentPreRun: func(cmd *cobra.Command, _ []string) {
			c.out, c.progress = cmd.OutOrStdout(), cmd.ErrOrStderr()
			if c.quiet {
				c.progress = io.Discard
			}
			if c.seed == 0 {
				c.seed = uint64(time.Now().UnixNano())
			}
		}}
	c.flags(root.PersistentFlags())
	root.AddCommand(swapsCommand(c), loadCommand(c))
	return root
}

// result is what a run found.
type result interface {
	print(io.Writer)
	broken() []string // promises, empty when all were kept
}

// conclude prints a result. What is wrong is an error.
func (c *common) conclude(s *site, r result) error {
	if c.json {
		enc := json.NewEncoder(c.out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(r); err != nil {
			return err
		}
	} else {
		r.print(c.out)
	}
	broken := r.broken()
	if len(broken) == 0 {
		return s.remove()
	}
	if !c.json {
		for _, b := range broken {
			fmt.Fprintln(c.out, "VIOLATION:", b)
		}
	}
	return fmt.Errorf("%w (%d); stores and logs are in %s", errViolated, len(broken), s.dir)
}

// say shows what is going on.
func (c *common) say(format string, args ...any) {
	fmt.Fprintf(c.progress, format+"\n", args...)
}
