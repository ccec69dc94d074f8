// Hub serves a folder with the routes of the Hugging Face Hub, for machines that
// cannot reach it.
//
//	go run ./examples/hub --root DIR --addr 127.0.0.1:0
//	HF_ENDPOINT=http://127.0.0.1:PORT HF_HOME=$(mktemp -d) go run ./service --base bert=hf:google-bert/bert-base-uncased
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"lorikeet/inference/hub/mirror"
)

const help = `Serves a folder with the routes of the Hugging Face Hub: a mirror for machines that
cannot reach it. What asks the hub finds it with HF_ENDPOINT: lorikeet, transformers,
datasets, huggingface_hub. It reads only, and asks nobody who they are: keep it to
machines you trust.

The folder holds

  models/<owner>/<name>/…                what the model's branch main holds
  datasets/<owner>/<name>/…              what the data set's does
  datasets/<owner>/<name>@<revision>/…   another branch, its / written %2F

and is looked at anew with every request. examples/mirror lays one out that stands in
for the repositories of the examples; with "hf download --local-dir" a machine that
reaches the hub fills one with the real ones.

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "hub:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends. Its first line of output is the address.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("hub", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), help)
		flags.PrintDefaults()
	}
	root := flags.String("root", "", "the folder to serve")
	addr := flags.String("addr", "127.0.0.1:0", "address to listen on; port 0 takes a free one")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if info, err := os.Stat(*root); err != nil || !info.IsDir() {
		return fmt.Errorf("--root: %q is not a folder", *root)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *addr)
	if err != nil {
		return fmt.Errorf("--addr: %w", err)
	}
	server := &http.Server{Handler: &mirror.Hub{Find: mirror.Folder(*root)}, ReadHeaderTimeout: 10 * time.Second}
	fmt.Fprintf(out, "http://%s\n", l.Addr())
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stopped()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
