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
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	// The first signal drains; the second ends at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop()
	}()
	err := command().ExecuteContext(ctx)
	var code exitCode
	switch {
	case errors.As(err, &code):
		os.Exit(int(code)) // 0 too
	case err != nil:
		fmt.Fprintln(os.Stderr, "lorikeet:", err)
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

Every flag is also an environment variable: --max-batch-tokens is LORIKEET_MAX_BATCH_TOKENS.`,
		Example: `  service --base bert=hf:google-bert/bert-base-uncased
  service --base minilm=./models/all-MiniLM-L6-v2 --adapter imdb=./adapters/imdb
  service serve  --base bert=./bert --redis redis://cache:6379/0 --store /shared/lorikeet
  service worker --base bert=./bert --redis redis://cache:6379/0 --store /shared/lorikeet`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), c, true) },
	}
	c.flags(root.PersistentFlags())
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		return c.environment(cmd.Flags(), os.Environ())
	}
	root.AddCommand(
		&cobra.Command{Use: "serve", Short: "Run the API alone; workers run elsewhere", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), c, false) }},
		&cobra.Command{Use: "worker", Short: "Run a worker alone: it takes jobs from --redis and --store", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return work(cmd.Context(), c) }},
		keysCommand(c),
		attemptCommand(c),
		backendCommand(c),
		versionCommand(c),
		healthCommand(c),
		demoCommand(c),
	)
	return root
}
