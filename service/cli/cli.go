// Package cli is the command line of a running service: thin calls of the HTTP API, from
// this machine or another. Tables and bars are for people, --json for programs: it prints
// what the API answered.
//
// Answers go to standard output, everything else to standard error. What a service sends
// is shown without its control characters, so that no label or text moves the cursor.
package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// The variables that stand for flags here. They share a prefix with the service's own
// settings, which therefore has to pass over them.
const (
	envURL = "LORIKEET_URL"
	envKey = "LORIKEET_KEY"
	envCA  = "LORIKEET_CACERT"
)

// Variables are the environment variables that this package reads.
func Variables() []string { return []string{envURL, envKey, envCA} }

// standardURL is where a service listens unless told otherwise.
const standardURL = "http://127.0.0.1:8080"

// Group is the id of the commands in the help of their root.
const Group = "client"

// app is what all commands share: where the service is, and how to show its answers.
type app struct {
	url, key, ca string
	json         bool
	getenv       func(string) string
}

// Commands are predict, generate, tune, jobs, adapters, datasets, feedback and models.
func Commands() []*cobra.Command {
	a := &app{getenv: os.Getenv}
	all := []*cobra.Command{a.predict(), a.generate(), a.tune(), a.jobs(), a.adapters(), a.datasets(), a.feedback(), a.models()}
	for _, c := range all {
		c.GroupID = Group
		f := c.PersistentFlags()
		f.StringVar(&a.url, "url", "", "address of the service; $"+envURL+", else "+standardURL)
		f.StringVar(&a.key, "key", "", "API key; better in $"+envKey+", where other users of this machine do not see it")
		f.StringVar(&a.ca, "cacert", "", "file of certificates, PEM, to trust besides the system's; $"+envCA)
		f.BoolVar(&a.json, "json", false, "print what the API answers")
		walk(c, func(c *cobra.Command) {
			c.SilenceUsage, c.SilenceErrors = true, true
			if c.Args == nil {
				c.Args = cobra.NoArgs
			}
			c.Args = Usage(c.Args)
			if c.HasSubCommands() {
				c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
			}
			c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return misuse(err) })
		})
	}
	return all
}

func walk(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, sub := range c.Commands() {
		walk(sub, visit)
	}
}

// Usage marks what a check of arguments refuses as a mistake of the caller's.
func Usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		if err != nil {
			err = fmt.Errorf("%w\nusage: %s (see --help)", err, cmd.UseLine())
		}
		return misuse(err)
	}
}

// client is one for the service that flags and environment name.
func (a *app) client() (*client, error) {
	return newClient(cmp.Or(a.url, a.getenv(envURL), standardURL), cmp.Or(a.key, a.getenv(envKey)), cmp.Or(a.ca, a.getenv(envCA)))
}

// terminal reports whether a stream is one that a person looks at, and how wide it is.
func terminal(stream any) (width int, ok bool) {
	f, ok := stream.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width < 20 {
		width = 80
	}
	return width, true
}

// run is a command that speaks to the service.
func (a *app) run(do func(ctx context.Context, c *client, out io.Writer, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return misuse(err)
		}
		return do(cmd.Context(), c, cmd.OutOrStdout(), args)
	}
}
