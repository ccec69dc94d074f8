package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

// checkpoint is a point that a job can go on from.
type checkpoint struct {
	Step      int                `json:"step"`
	Attempt   int                `json:"attempt"`
	Best      bool               `json:"best"`
	Bytes     int64              `json:"bytes"`
	Metrics   map[string]float64 `json:"metrics"`
	CreatedAt time.Time          `json:"created_at"`
}

func (a *app) checkpoints() *cobra.Command {
	cmd := &cobra.Command{Use: "checkpoints ID", Short: "List the checkpoints that are kept of a job, the newest first", Args: cobra.ExactArgs(1),
		Example: "  service jobs checkpoints job_k3x9", ValidArgsFunction: a.suggest(jobIDs)}
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, args []string) error {
		var p list[checkpoint]
		text, err := c.get(ctx, path("tune", "jobs", args[0], "checkpoints"), nil, &p)
		if err != nil || a.json {
			return orAnswer(out, text, err)
		}
		var rows [][]string
		for _, k := range p.Data {
			best := ""
			if k.Best {
				best = "best"
			}
			rows = append(rows, []string{fmt.Sprint(k.Step), fmt.Sprint(k.Attempt), size(k.Bytes), ago(k.CreatedAt), bestMetrics(k.Metrics), best})
		}
		return table(out, []string{"STEP", "ATTEMPT", "SIZE", "CREATED", "METRICS", ""}, rows)
	})
	return cmd
}
