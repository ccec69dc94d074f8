package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lorikeet/tuning"
)

func (a *app) jobs() *cobra.Command {
	jobs := &cobra.Command{Use: "jobs", Short: "List, follow and steer tuning jobs",
		Example: "  service jobs list --status running\n  service jobs wait job_k3x9\n  service jobs pause job_k3x9"}
	jobs.AddCommand(a.listJobs(), a.getJob(), a.waitJob(), a.jobEvents(), a.checkpoints(),
		a.steer("cancel", "End jobs for good"), a.steer("pause", "Take jobs off their workers after a checkpoint"), a.steer("resume", "Let paused jobs go on"), a.deleteJobs(), a.queue())
	return jobs
}

func (a *app) listJobs() *cobra.Command {
	var status string
	var most int
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List jobs, the newest first", Example: "  service jobs list --status running\n  service jobs list --limit 0 --json"}
	cmd.Flags().StringVar(&status, "status", "", "only jobs in this status")
	cmd.Flags().IntVar(&most, "limit", 20, "jobs to list; 0: all")
	a.completes(cmd, "status", func(context.Context, *client) []string {
		return []string{"queued", "running", "paused", "succeeded", "failed", "cancelled"}
	})
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, _ []string) error {
		query := url.Values{}
		if status != "" {
			query.Set("status", status)
		}
		return tabled(ctx, a, c, out, "/tune/jobs", query, most, []string{"ID", "NAME", "KIND", "BASE", "STATUS", "RESULT", "CREATED"}, func(j tuning.Job) []string {
			return []string{j.ID, j.Name, string(j.Kind), j.Model, standing(j), outcome(j), ago(j.CreatedAt)}
		})
	})
	return cmd
}

// standing is a job's status, and how far it is.
func standing(j tuning.Job) string {
	switch {
	case j.Status == tuning.Queued && j.QueuePosition != nil:
		return fmt.Sprintf("queued, number %d", *j.QueuePosition)
	case j.Status == tuning.Running && j.Progress != nil:
		return fmt.Sprintf("running, %.0f %%", j.Progress.Percent)
	}
	return string(j.Status)
}

func outcome(j tuning.Job) string {
	switch {
	case j.Error != nil:
		return clip(j.Error.Message, 60)
	case j.Result != nil:
		return strings.TrimSuffix(j.Result.Adapter+", "+bestMetrics(j.Metrics), ", ")
	case j.Progress != nil:
		return "loss " + figure(j.Progress.Loss)
	}
	return ""
}

func (a *app) getJob() *cobra.Command {
	cmd := &cobra.Command{Use: "get ID", Short: "Show a job", Args: cobra.ExactArgs(1), Example: "  service jobs get job_k3x9\n  service jobs get job_k3x9 --json | jq .metrics",
		ValidArgsFunction: a.suggest(jobIDs)}
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, args []string) error {
		var j tuning.Job
		text, err := c.get(ctx, path("tune", "jobs", args[0]), nil, &j)
		if err != nil || a.json {
			return orAnswer(out, text, err)
		}
		return showJob(out, j)
	})
	return cmd
}

func showJob(out io.Writer, j tuning.Job) error {
	when := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return t.Local().Format(time.DateTime)
	}
	failure := ""
	if j.Error != nil {
		failure = strings.TrimSpace(j.Error.Message + " " + j.Error.Hint)
	}
	step := ""
	if p := j.Progress; p != nil {
		step = fmt.Sprintf("%d of %d, loss %s", p.Step, p.TotalSteps, figure(p.Loss))
	}
	return facts(out, withMetrics([]string{"id", j.ID, "tune", string(j.Kind) + " of " + j.Model, "name", j.Name, "status", standing(j), "phase", j.Phase, "step", step, "attempt", fmt.Sprint(j.Attempt),
		"registered", registered(j), "gate", verdict(j.Result), "error", failure, "created", when(&j.CreatedAt), "started", when(j.StartedAt), "finished", when(j.FinishedAt)}, j.Metrics)...)
}

// withMetrics adds a pair for each of them, in order.
func withMetrics(pairs []string, m map[string]float64) []string {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		pairs = append(pairs, strings.TrimPrefix(name, "eval_"), figure(m[name]))
	}
	return pairs
}

func (a *app) waitJob() *cobra.Command {
	cmd := &cobra.Command{Use: "wait ID", Short: "Follow a job to its end; exit status 3 when it does not succeed", Args: cobra.ExactArgs(1),
		Example: "  service jobs wait job_k3x9 && service predict -m bert -a imdb \"…\"", ValidArgsFunction: a.suggest(jobIDs)}
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, args []string) error {
		return a.waitFor(ctx, c, out, newBar(cmd.ErrOrStderr()), args[0])
	})
	return cmd
}

func (a *app) jobEvents() *cobra.Command {
	cmd := &cobra.Command{Use: "events ID", Short: "Print what happens to a job, as JSON lines, until it is over", Args: cobra.ExactArgs(1),
		Example: "  service jobs events job_k3x9 | jq 'select(.type == \"eval\")'", ValidArgsFunction: a.suggest(jobIDs)}
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, args []string) error {
		_, _, err := follow(ctx, c, args[0], func(e event) error {
			if !json.Valid([]byte(e.Data)) {
				return fmt.Errorf("event %s is not JSON", clean(e.ID))
			}
			line, err := json.Marshal(map[string]any{"id": e.ID, "type": e.Name, "data": json.RawMessage(e.Data)})
			if err == nil {
				err = answer(out, line)
			}
			return err
		})
		return err
	})
	return cmd
}

// steer is a command that does something to jobs, each on its own.
func (a *app) steer(what, short string) *cobra.Command {
	cmd := &cobra.Command{Use: what + " ID…", Short: short, Args: cobra.MinimumNArgs(1), Example: "  service jobs " + what + " job_k3x9", ValidArgsFunction: a.suggest(jobIDs)}
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, ids []string) error {
		return a.each(out, ids, func(id string) (string, json.RawMessage, error) {
			var j tuning.Job
			text, err := c.post(ctx, path("tune", "jobs", id, what), nil, &j)
			return clean(j.ID + " " + standing(j)), text, err
		})
	})
	return cmd
}

func (a *app) deleteJobs() *cobra.Command {
	cmd := &cobra.Command{Use: "delete ID…", Aliases: []string{"rm"}, Short: "Delete jobs that are over; what they trained stays", Args: cobra.MinimumNArgs(1),
		Example: "  service jobs delete job_k3x9", ValidArgsFunction: a.suggest(jobIDs)}
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, ids []string) error {
		return a.deleteEach(ctx, c, out, ids, func(id string) string { return path("tune", "jobs", id) })
	})
	return cmd
}

func (a *app) queue() *cobra.Command {
	cmd := &cobra.Command{Use: "queue", Short: "Show how many jobs wait, and which workers there are", Example: "  service jobs queue"}
	cmd.RunE = a.run(func(ctx context.Context, c *client, out io.Writer, _ []string) error {
		var q struct {
			Classes []struct {
				Class           string
				Queued, Running int
				Oldest          float64 `json:"oldest_seconds"`
				Workers, Slots  int
				Busy            int
			}
			Workers []struct {
				ID, Host, Class string
				Slots, Busy     int
				Seen            float64 `json:"seen_seconds"`
			}
		}
		text, err := c.get(ctx, "/tune/queue", nil, &q)
		if err != nil || a.json {
			return orAnswer(out, text, err)
		}
		var rows [][]string
		for _, s := range q.Classes {
			rows = append(rows, []string{s.Class, fmt.Sprint(s.Queued), fmt.Sprint(s.Running), seconds(s.Oldest), fmt.Sprint(s.Workers), fmt.Sprintf("%d of %d", s.Busy, s.Slots)})
		}
		if err := table(out, []string{"CLASS", "WAITING", "RUNNING", "OLDEST WAITS", "WORKERS", "BUSY"}, rows); err != nil || len(q.Workers) == 0 {
			return err
		}
		rows = nil
		for _, w := range q.Workers {
			rows = append(rows, []string{w.ID, w.Host, w.Class, fmt.Sprintf("%d of %d", w.Busy, w.Slots), seconds(w.Seen) + " ago"})
		}
		fmt.Fprintln(out) //nolint:errcheck // the table reports it
		return table(out, []string{"WORKER", "HOST", "CLASS", "BUSY", "LAST HEARD OF"}, rows)
	})
	return cmd
}
