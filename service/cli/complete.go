package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lorikeet/adapters"
	"lorikeet/tuning"
)

// suggestions are for the shell. Without a service, or without a key that may ask,
// there are none.
type suggestions func(context.Context, *client) []string

// completionPatience is how long a shell waits for the service.
const completionPatience = 2 * time.Second

func (a *app) suggest(from suggestions) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		parent := cmd.Context()
		if parent == nil {
			parent = context.Background()
		}
		ctx, stop := context.WithTimeout(parent, completionPatience)
		defer stop()
		c, err := a.client()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		found := from(ctx, c)
		for i, s := range found {
			value, about, described := strings.Cut(s, "\t")
			if found[i] = clean(value); described {
				found[i] += "\t" + clean(about)
			}
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// completes gives a flag its suggestions.
func (a *app) completes(cmd *cobra.Command, flag string, from suggestions) {
	if err := cmd.RegisterFlagCompletionFunc(flag, a.suggest(from)); err != nil {
		panic(err) // the flag is not there: a mistake of ours
	}
}

func models(ctx context.Context, c *client) (names []string) {
	var p list[model]
	_, _ = c.get(ctx, "/models", nil, &p) // no service, no suggestions
	for _, m := range p.Data {
		names = append(names, m.Name)
	}
	return names
}

func bases(ctx context.Context, c *client) (names []string) {
	var p list[model]
	_, _ = c.get(ctx, "/models", nil, &p)
	for _, m := range p.Data {
		if m.Kind == "base" {
			names = append(names, m.Name)
		}
	}
	return names
}

func adapterNames(ctx context.Context, c *client) (names []string) {
	all, _, _ := pages[adapter](ctx, c, "/adapters", nil, 1000)
	for _, v := range all {
		names = append(names, v.Name)
	}
	return names
}

func adapterRefs(ctx context.Context, c *client) (refs []string) {
	all, _, _ := pages[adapter](ctx, c, "/adapters", nil, 1000)
	for _, v := range all {
		refs = append(refs, v.Name)
		for _, n := range v.Versions {
			refs = append(refs, adapters.Ref{Name: v.Name, Version: n}.String())
		}
	}
	return refs
}

func jobIDs(ctx context.Context, c *client) (ids []string) {
	all, _, _ := pages[tuning.Job](ctx, c, "/tune/jobs", nil, 50)
	for _, j := range all {
		ids = append(ids, fmt.Sprintf("%s\t%s, %s", j.ID, j.Name, j.Status))
	}
	return ids
}

func datasetIDs(ctx context.Context, c *client) (ids []string) {
	type set struct{ ID, Name string }
	all, _, _ := pages[set](ctx, c, "/datasets", nil, 50)
	for _, d := range all {
		ids = append(ids, d.ID+"\t"+d.Name)
	}
	return ids
}
