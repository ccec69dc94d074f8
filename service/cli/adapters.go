package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lorikeet/adapters"
)

// adapter is one version, or a series as its current version.
type adapter struct {
	adapters.Ref
	Versions  []int              `json:"versions"`
	Kind      string             `json:"kind"`
	Base      string             `json:"base"`
	Rank      int                `json:"rank"`
	Targets   []string           `json:"targets"`
	Labels    []string           `json:"labels"`
	Template  string             `json:"template"`
	Bytes     int64              `json:"bytes"`
	Residency string             `json:"residency"`
	Pinned    bool               `json:"pinned"`
	Metrics   map[string]float64 `json:"metrics"`
	Gate      *adapters.Gate     `json:"gate"`
	Traffic   *traffic           `json:"traffic"`
	Job       string             `json:"job"`
	Source    string             `json:"source"`
	CreatedAt time.Time          `json:"created_at"`
	Files     map[string]struct {
		Bytes int64 `json:"bytes"`
	} `json:"files"`
}

func (v adapter) place() string {
	if v.Pinned {
		return v.Residency + ", pinned"
	}
	return v.Residency
}

func (a *app) adapters() *cobra.Command {
	all := &cobra.Command{Use: "adapters", Short: "List, bring, take and steer adapters and variants",
		Example: "  service adapters list\n  service adapters download imdb@3 --to ./imdb\n  service adapters traffic imdb 3=90 4=10\n  service adapters rollback imdb 2"}
	all.AddCommand(a.listAdapters(), a.getAdapter(), a.passport(), a.card(), a.importAdapter(), a.downloadAdapter(), a.mergeAdapters(), a.traffic(), a.rollback(), a.deleteAdapters(),
		a.place("load", "Bring a version onto the device"), a.place("unload", "Take a version off the device"),
		a.place("pin", "Keep a version on the device"), a.place("unpin", "Let a version leave the device again"))
	return all
}

func (a *app) listAdapters() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List adapters and variants, each as its current version", Example: "  service adapters list"}
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, _ []string) error {
		return tabled(ctx, a, c, out, "/adapters", nil, 0, []string{"NAME", "KIND", "BASE", "VERSIONS", "WHERE", "METRICS", "SIZE", "CREATED"}, func(v adapter) []string {
			return []string{v.String(), v.Kind, v.Base, fmt.Sprint(len(v.Versions)), v.place(), bestMetrics(v.Metrics), size(v.Bytes), ago(v.CreatedAt)}
		})
	})
	return cmd
}

// split takes imdb@3 apart; 0: the current version.
func split(ref string) (name string, version int, err error) {
	name, v, ok := strings.Cut(ref, "@")
	if !ok {
		return name, 0, nil
	}
	if version, err = strconv.Atoi(v); err != nil || version < 1 {
		return "", 0, misuse(fmt.Errorf("%q is not an adapter such as imdb or imdb@3", ref))
	}
	return name, version, nil
}

// find shows the version that a reference means.
func find(ctx context.Context, c *client, ref string) (v adapter, text []byte, err error) {
	name, version, err := split(ref)
	if err != nil {
		return v, nil, err
	}
	at := path("adapters", name)
	if version > 0 {
		at += path("versions", fmt.Sprint(version))
	}
	text, err = c.get(ctx, at, nil, &v)
	return v, text, err
}

func (v adapter) path() string { return path("adapters", v.Name, "versions", fmt.Sprint(v.Version)) }

func (a *app) getAdapter() *cobra.Command {
	cmd := &cobra.Command{Use: "get NAME[@VERSION]", Short: "Show an adapter", Args: cobra.ExactArgs(1), Example: "  service adapters get imdb\n  service adapters get imdb@2 --json", ValidArgsFunction: a.suggest(adapterRefs)}
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, args []string) error {
		v, text, err := find(ctx, c, args[0])
		if err != nil || a.json {
			return orAnswer(out, text, err)
		}
		return v.show(out)
	})
	return cmd
}

func (v adapter) show(out io.Writer) error {
	var versions, rank string
	for _, n := range v.Versions {
		versions += fmt.Sprintf(" %d", n)
	}
	if v.Rank > 0 {
		rank = fmt.Sprintf("%d on %s", v.Rank, strings.Join(v.Targets, ", "))
	}
	return facts(out, withMetrics([]string{"name", v.String(), "versions", strings.TrimSpace(versions), "kind", v.Kind + " of " + v.Base, "rank", rank, "labels", clip(strings.Join(v.Labels, ", "), 200),
		"template", v.Template, "gate", gated(v.Gate), "traffic", v.Traffic.String(), "where", v.place(), "size", size(v.Bytes), "files", strings.Join(slices.Sorted(maps.Keys(v.Files)), ", "),
		"digest", v.Digest, "job", v.Job, "source", v.Source, "created", v.CreatedAt.Local().Format(time.DateTime)}, v.Metrics)...)
}

// place is a command that moves versions, each on its own.
func (a *app) place(what, short string) *cobra.Command {
	cmd := &cobra.Command{Use: what + " NAME[@VERSION]…", Short: short, Args: cobra.MinimumNArgs(1), Example: "  service adapters " + what + " imdb@3", ValidArgsFunction: a.suggest(adapterRefs)}
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, refs []string) error {
		return a.each(out, refs, func(ref string) (string, json.RawMessage, error) {
			v, _, err := find(ctx, c, ref)
			if err != nil {
				return "", nil, err
			}
			text, err := c.post(ctx, v.path()+"/"+what, nil, &v)
			return clean(v.String() + " " + v.place()), text, err
		})
	})
	return cmd
}

func (a *app) rollback() *cobra.Command {
	cmd := &cobra.Command{Use: "rollback NAME VERSION", Short: "Make a version, older or newer, the current one", Args: cobra.ExactArgs(2), Example: "  service adapters rollback imdb 2", ValidArgsFunction: a.suggest(adapterNames)}
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, args []string) error {
		version, err := strconv.Atoi(args[1])
		if err != nil {
			return misuse(fmt.Errorf("%q is not the number of a version", args[1]))
		}
		var v adapter
		text, err := c.post(ctx, path("adapters", args[0], "rollback"), map[string]int{"version": version}, &v)
		if err != nil || a.json {
			return orAnswer(out, text, err)
		}
		_, err = fmt.Fprintf(out, "%s is now %s\n", clean(v.Name), clean(v.String()))
		return err
	})
	return cmd
}

func (a *app) deleteAdapters() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{Use: "delete NAME[@VERSION]…", Aliases: []string{"rm"}, Short: "Delete adapters with all their versions, or one version", Args: cobra.MinimumNArgs(1),
		Example: "  service adapters delete imdb@2\n  service adapters delete imdb --yes", ValidArgsFunction: a.suggest(adapterRefs)}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask; needed where nobody can be asked")
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, refs []string) error {
		for _, ref := range refs {
			if _, _, err := split(ref); err != nil {
				return err
			}
		}
		if !yes {
			if _, person := terminal(cmd.InOrStdin()); !person {
				return misuse(errors.New("this cannot be taken back: say --yes"))
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "Delete %s? This cannot be taken back. [y/N] ", clean(strings.Join(refs, ", "))) //nolint:errcheck // a question
			line, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')                                                    // no answer is no
			if s := strings.ToLower(strings.TrimSpace(line)); s != "y" && s != "yes" {
				return errors.New("nothing was deleted")
			}
		}
		return a.deleteEach(ctx, c, out, refs, func(ref string) string {
			name, version, _ := split(ref) // checked above
			if version == 0 {
				return path("adapters", name)
			}
			return path("adapters", name, "versions", fmt.Sprint(version))
		})
	})
	return cmd
}
