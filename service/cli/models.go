package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

type model struct {
	Name       string   `json:"name"`
	Kind       string   `json:"kind"`
	Family     string   `json:"family"`
	Task       string   `json:"task"`
	Labels     []string `json:"labels"`
	Source     string   `json:"source"`
	Parameters int64    `json:"parameters"`
	MaxLength  int      `json:"max_length"`
	Slots      int      `json:"slots"`
	SlotsFree  int      `json:"slots_free"`
}

func (a *app) models() *cobra.Command {
	cmd := &cobra.Command{Use: "models", Short: "List bases and variants", Example: "  service models\n  service models --json | jq -r '.data[].name'"}
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, _ []string) error {
		var p list[model]
		text, err := c.get(ctx, "/models", nil, &p)
		if err != nil || a.json {
			return orAnswer(out, text, err)
		}
		var rows [][]string
		for _, m := range p.Data {
			rows = append(rows, []string{m.Name, m.Kind, m.Family, m.Task, count(m.Parameters), fmt.Sprint(m.MaxLength), fmt.Sprintf("%d of %d", m.Slots-m.SlotsFree, m.Slots), clip(strings.Join(m.Labels, ", "), 40)})
		}
		return table(out, []string{"NAME", "KIND", "FAMILY", "TASK", "PARAMETERS", "TOKENS", "SLOTS USED", "LABELS"}, rows)
	})
	return cmd
}
