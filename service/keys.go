package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"lorikeet/adapters/store"
	"lorikeet/routes/access"
)

// keysCommand works on the store's folder: it needs no running service, and one that
// runs sees what it does within a second.
func keysCommand(c *config) *cobra.Command {
	keys := &cobra.Command{Use: "keys", Short: "Make, list and revoke API keys", Args: cobra.NoArgs}
	var name, scope, tenant string
	var expires time.Duration
	create := &cobra.Command{Use: "create", Short: "Make a key and print it, this once", Args: cobra.NoArgs,
		Long: `Makes an API key in the store and prints it, this once: only its hash is kept. The key is the only
line on standard output, so that KEY=$(service keys create …) works.

Scopes: predict asks models; tune also has data sets, jobs and adapters of its tenant; admin does
everything for every tenant; metrics reads /metrics and nothing else.`,
		Example: "  service keys create --name me --scope admin\n  service keys create --name search --scope predict --tenant acme --expires 2160h",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withKeys(cmd.Context(), func(ctx context.Context, ring *access.Ring) error {
				q := access.Request{Name: name, Scope: access.Scope(scope), Tenant: tenant}
				if expires != 0 {
					at := time.Now().Add(expires)
					q.ExpiresAt = &at
				}
				k, token, err := ring.Create(ctx, q)
				if err != nil {
					return err
				}
				c.audit("keys create", k)
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: scope %s, tenant %s, expires %s. Keep it: it is not shown again.\n", //nolint:errcheck // the key is what matters
					k.ID, k.Scope, tenantOf(k), until(k.ExpiresAt))
				_, err = fmt.Fprintln(cmd.OutOrStdout(), token)
				return err
			})
		}}
	create.Flags().StringVar(&name, "name", "", "what the key is for, to tell it from others")
	create.Flags().StringVar(&scope, "scope", "", "predict, tune, admin or metrics")
	create.Flags().StringVar(&tenant, "tenant", access.DefaultTenant, "whose jobs, data sets and adapters it sees and makes")
	create.Flags().DurationVar(&expires, "expires", 0, "how long it is good for, for example 2160h; 0: until it is revoked")
	_ = create.MarkFlagRequired("scope") // it exists
	list := &cobra.Command{Use: "list", Short: "List the keys, revoked ones too", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withKeys(cmd.Context(), func(ctx context.Context, ring *access.Ring) error {
				all, err := ring.List(ctx)
				if err != nil {
					return err
				}
				return printKeys(cmd.OutOrStdout(), all)
			})
		}}
	revoke := &cobra.Command{Use: "revoke ID…", Short: "Make keys open nothing any more", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			return c.withKeys(cmd.Context(), func(ctx context.Context, ring *access.Ring) error {
				var errs []error
				for _, id := range ids {
					k, err := ring.Revoke(ctx, id)
					if errs = append(errs, err); err == nil {
						c.audit("keys revoke", k)
					}
				}
				return errors.Join(errs...)
			})
		}}
	keys.AddCommand(create, list, revoke)
	return keys
}

// withKeys opens the store for one command.
func (c *config) withKeys(ctx context.Context, do func(context.Context, *access.Ring) error) (err error) {
	dir, err := store.OpenDir(c.storeFolder())
	if err != nil {
		return fmt.Errorf("--store: %w", err)
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	ring, err := access.Open(ctx, dir)
	if err != nil {
		return err
	}
	return do(ctx, ring)
}

// audit tells of a change by whoever has the store's folder, as routes does of others.
func (c *config) audit(action string, k access.Key) {
	c.logger().Info("audit", "key", "", "tenant", "", "action", action, "object", k.ID, "result", "ok", "made_scope", k.Scope, "made_for", tenantOf(k))
}

func tenantOf(k access.Key) string {
	if k.Tenant == "" {
		return access.DefaultTenant
	}
	return k.Tenant
}

func until(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}

func printKeys(w io.Writer, all []access.Key) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tSCOPE\tTENANT\tNAME\tCREATED\tEXPIRES\tREVOKED") //nolint:errcheck // Flush reports it
	for _, k := range all {
		revoked := ""
		if k.RevokedAt != nil {
			revoked = until(k.RevokedAt)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%q\t%s\t%s\t%s\n", k.ID, k.Scope, tenantOf(k), k.Name, until(&k.CreatedAt), until(k.ExpiresAt), revoked) //nolint:errcheck // Flush reports it
	}
	return t.Flush()
}
