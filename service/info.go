package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"lorikeet/inference/device"
)

// release is the version of this source; the build adds the commit.
const release = "0.1.0"

// version is the release, with the commit it was built from where that is known.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return release
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return release + "+" + s.Value[:12]
		}
	}
	return release
}

func goVersion() string { return runtime.Version() }

// moduleVersion is the version of a dependency that was built in.
func moduleVersion(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == path {
				return m.Version
			}
		}
	}
	return "unknown"
}

func versionCommand(c *config) *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the versions of lorikeet, Go, GoMLX and the backend", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := device.FromEnv(os.Getenv)
			var backend string
			if d, err := device.Open(cmd.Context(), c.backend, o); err != nil {
				backend = err.Error()
			} else {
				backend = d.Info().String()
				d.Close()
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "lorikeet %s\n%s\ngomlx %s\nbackend %s\n", version(), goVersion(), moduleVersion("github.com/gomlx/gomlx"), backend)
			return err
		}}
}

func backendCommand(c *config) *cobra.Command {
	backend := &cobra.Command{Use: "backend", Short: "List and install compute backends", Args: cobra.NoArgs}
	backend.AddCommand(
		&cobra.Command{Use: "list", Short: "List the backends that this machine can use", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return listBackends(cmd.OutOrStdout()) }},
		&cobra.Command{Use: "install [cpu|cuda|wheel]", Short: "Download a PJRT plugin into the user's cache; cpu unless said otherwise", Args: cobra.MaximumNArgs(1),
			ValidArgs: []string{"cpu", "cuda", "wheel"},
			RunE: func(cmd *cobra.Command, args []string) error {
				which := "cpu"
				if len(args) == 1 {
					which = args[0]
				}
				o := device.FromEnv(os.Getenv)
				o.Install, o.Progress, o.Log = true, cmd.ErrOrStderr(), c.logger()
				p, err := device.Install(cmd.Context(), which, o)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s\n", p.Kind, p.Version, p.Path)
				return err
			}})
	return backend
}

func listBackends(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "BACKEND\tVERSION\tMIB\tFROM\tPATH") //nolint:errcheck // Flush reports it
	fmt.Fprintln(t, "go\t\t\tbuilt in\t")                //nolint:errcheck // Flush reports it
	for _, p := range device.List(device.FromEnv(os.Getenv)) {
		path := p.Path
		if p.Problem != "" {
			path += " (" + p.Problem + ")"
		}
		fmt.Fprintf(t, "xla:%s\t%s\t%d\t%s\t%s\n", p.Kind, p.Version, p.Bytes>>20, p.From, path) //nolint:errcheck // Flush reports it
	}
	return t.Flush()
}

// healthCommand asks a running service whether it is ready, for containers that have
// no curl.
func healthCommand(c *config) *cobra.Command {
	path := "/readyz"
	cmd := &cobra.Command{Use: "health", Short: "Ask the service at --addr whether it is ready; exit status 1 if not", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := context.WithTimeout(cmd.Context(), 5*time.Second)
			defer stop()
			host, port, err := net.SplitHostPort(c.addr)
			if err != nil {
				return fmt.Errorf("--addr: %w", err)
			}
			if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
				host = "127.0.0.1"
			}
			scheme, client := "http://", &http.Client{}
			if c.tlsCert != "" {
				pin, err := pinned(c.tlsCert)
				if err != nil {
					return err
				}
				scheme, client.Transport = "https://", &http.Transport{TLSClientConfig: pin}
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+net.JoinHostPort(host, port)+path, nil)
			if err != nil {
				return err
			}
			res, err := client.Do(req)
			if err != nil {
				return err
			}
			defer func() { _ = res.Body.Close() }() // read only
			body, err := io.ReadAll(io.LimitReader(res.Body, 4096))
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), string(body)) //nolint:errcheck // the exit status is the answer
			if res.StatusCode != http.StatusOK {
				return exitCode(1)
			}
			return nil
		}}
	cmd.Flags().StringVar(&path, "path", path, "what to ask: /readyz or /livez")
	return cmd
}
