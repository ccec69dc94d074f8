package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// clean takes out what would move a terminal's cursor or change its colours.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == '\u2028', r == '\u2029':
			return '\uFFFD'
		}
		return r
	}, s)
}

// cleanText is clean for a text of several lines.
func cleanText(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		return []rune(clean(string(r)))[0]
	}, s)
}

// clip shortens a text to so many characters.
func clip(s string, most int) string {
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most-1]) + "…"
}

// table writes rows under heads. Cells are cleaned.
func table(w io.Writer, heads []string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(heads, "\t")) //nolint:errcheck // Flush reports it
	for _, r := range rows {
		cells := make([]string, len(r))
		for i, c := range r {
			cells[i] = clean(c)
		}
		fmt.Fprintln(t, strings.TrimRight(strings.Join(cells, "\t"), "\t")) //nolint:errcheck // Flush reports it
	}
	return t.Flush()
}

// facts writes names and values, leaving out what is empty.
func facts(w io.Writer, pairs ...string) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(t, "%s\t%s\n", clean(pairs[i]), clean(pairs[i+1])) //nolint:errcheck // Flush reports it
		}
	}
	return t.Flush()
}

// answer prints JSON as it came.
func answer(w io.Writer, text json.RawMessage) error {
	if len(text) == 0 {
		return nil
	}
	_, err := fmt.Fprintf(w, "%s\n", text)
	return err
}

// tabled prints all of a list as a table, a line each, or as it was answered.
func tabled[T any](ctx context.Context, a *app, c *client, out io.Writer, path string, query url.Values, most int, heads []string, line func(T) []string) error {
	all, raw, err := pages[T](ctx, c, path, query, most)
	if err != nil {
		return err
	}
	if a.json {
		return answers(out, raw)
	}
	var rows [][]string
	for _, item := range all {
		rows = append(rows, line(item))
	}
	return table(out, heads, rows)
}

// labelCounts tells how many rows each label has, by name.
func labelCounts(labels map[string]int) string {
	var all []string
	for _, l := range slices.Sorted(maps.Keys(labels)) {
		all = append(all, fmt.Sprintf("%s %d", l, labels[l]))
	}
	return strings.Join(all, ", ")
}

// answers prints the items of a list, as the API wraps them.
func answers(w io.Writer, items []json.RawMessage) error {
	if items == nil {
		items = []json.RawMessage{}
	}
	text, err := json.Marshal(map[string]any{"data": items, "has_more": false})
	if err != nil {
		return err
	}
	return answer(w, text)
}

// figure is a metric: enough digits to compare.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case v == 0:
		return "0"
	case a >= 1e5 || a < 1e-3:
		return fmt.Sprintf("%.2e", v)
	case a >= 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// count is a number that may be in the millions.
func count(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f B", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f M", float64(n)/1e6)
	}
	return fmt.Sprint(n)
}

func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Second).String()
}

func ago(t time.Time) string {
	d := time.Since(t)
	switch {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}

// bestMetrics are the one or two that tell most.
func bestMetrics(metrics map[string]float64) string {
	var shown []string
	for _, name := range []string{"eval_accuracy", "eval_f1", "eval_rougeL", "eval_bleu", "eval_exact_match", "eval_token_accuracy", "eval_pearson", "eval_loss", "train_loss"} {
		if v, ok := metrics[name]; ok && len(shown) < 2 {
			shown = append(shown, strings.TrimPrefix(name, "eval_")+" "+figure(v))
		}
	}
	return strings.Join(shown, ", ")
}
