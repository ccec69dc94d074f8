// Command service is lorikeet: it serves frozen base models with LoRA adapters that
// are swapped per request, and queues fine-tunes whose results it serves as soon as
// they are done. One process does it all; serve and worker split it over machines.
//
// This package is the only one that wires the others together.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"lorikeet/service/cli"
)

func main() {
	// The first signal drains; the second ends at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop()
	}()
	root := command()
	root.Use = filepath.Base(os.Args[0]) // what the shell completes
	err := root.ExecuteContext(ctx)
	var code exitCode
	var coded interface {
		error
		ExitCode() int
	}
	switch {
	case errors.As(err, &code):
		os.Exit(int(code)) // 0 too
	case err != nil:
		fmt.Fprintln(os.Stderr, "lorikeet:", err)
		if errors.As(err, &coded) {
			os.Exit(coded.ExitCode())
		}
		os.Exit(1)
	}
}

// exitCode ends the process with that status and no message.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit %d", int(c)) }

func command() *cobra.Command {
	c := newConfig()
	root := &cobra.Command{
		Use:   "service",
		Short: "Serve a frozen language model with LoRA adapters swapped per request, and tune new ones over HTTP",
		Long: `lorikeet serves frozen base models and swaps LoRA adapters per request, while /tune queues
fine-tunes through Redis to workers that register new adapters when they are done.

Without a sub-command it is API, worker and an embedded Redis in one process. "serve" is the API
alone and "worker" a worker alone; they meet in --redis and --store.

Every flag is also an environment variable: --max-batch-tokens is LORIKEET_MAX_BATCH_TOKENS.

The other commands ask a running service, at --url or $LORIKEET_URL, with the key in $LORIKEET_KEY. They
end with 0, with 1 when a request fails, 2 when the command line is wrong, and 3 when a job does not succeed.`,
		Example: `  service --base bert=hf:google-bert/bert-base-uncased
  service --base minilm=./models/all-MiniLM-L6-v2 --adapter imdb=./adapters/imdb
  service serve  --base bert=./bert --redis redis://cache:6379/0 --store /shared/lorikeet
  service worker --base bert=./bert --redis redis://cache:6379/0 --store /shared/lorikeet
  service tune lora --model bert --name imdb --data reviews.csv --wait
  service predict --model bert --adapter imdb "A wonderful, moving film."`,
		Args:          cli.Usage(cobra.NoArgs),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), c, true) },
	}
	root.AddGroup(&cobra.Group{ID: "server", Title: "Serve:"}, &cobra.Group{ID: cli.Group, Title: "Ask a running service:"})
	settings := func(cmd *cobra.Command, _ []string) error { return c.environment(cmd.Flags(), os.Environ()) }
	c.flags(root.Flags()) // not persistent: the commands that ask a running service have no settings
	root.PreRunE = settings
	for _, cmd := range []*cobra.Command{
		{Use: "serve", Short: "Run the API alone; workers run elsewhere", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), c, false) }},
		{Use: "worker", Short: "Run a worker alone: it takes jobs from --redis and --store", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return work(cmd.Context(), c) }},
		keysCommand(c),
		attemptCommand(c),
		backendCommand(c),
		versionCommand(c),
		healthCommand(c),
		demoCommand(c),
	} {
		cmd.GroupID = "server"
		c.flags(cmd.PersistentFlags())
		cmd.PersistentPreRunE = settings
		root.AddCommand(cmd)
	}
	root.AddCommand(cli.Commands()...)
	return root
}
