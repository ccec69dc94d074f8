package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"lorikeet/examples"
	"lorikeet/inference"
)

// demoCommand plays the quick start: a service of its own on a free port, and the
// requests that the README shows.
func demoCommand(c *config) *cobra.Command {
	return &cobra.Command{Use: "demo", Short: "Play the quick start: predict, tune two adapters on one base, and ask both in one batch", Args: cobra.NoArgs,
		Long: "Starts a service on a free port with an empty data folder, which is removed at the end, and\nsends it the requests of the README's quick start, printing each.",
		RunE: func(cmd *cobra.Command, _ []string) error { return playDemo(cmd.Context(), c, cmd.OutOrStdout()) }}
}

func playDemo(ctx context.Context, c *config, out io.Writer) error {
	dir, err := os.MkdirTemp("", "lorikeet-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // scratch
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	c.addr, c.data, c.store, c.redis, c.logLevel = free.Addr().String(), dir, "", "", "error"
	c.keys, c.insecure, c.tlsCert, c.tlsKey = false, false, "", "" // it sends plain requests, to itself
	if err := free.Close(); err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- serve(running, c, true) }()
	d := &demo{out: out, url: "http://" + c.addr, begin: time.Now()}
	err = d.play(ctx, c, ended)
	stop()
	if err != nil && errors.Is(err, errEnded) {
		return err
	}
	return errors.Join(err, <-ended)
}

// demo is a client of the service that shows what it sends.
type demo struct {
	out   io.Writer
	url   string
	begin time.Time
	shown string // the line of progress that stands there
}

var errEnded = errors.New("the service ended")

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format, args...) } //nolint:errcheck // a terminal

// progress replaces the line of progress. Where the output is no terminal it shows
// nothing: a file has no use for it.
func (d *demo) progress(line string) {
	f, ok := d.out.(*os.File)
	if line == d.shown || !ok || !term.IsTerminal(int(f.Fd())) {
		return
	}
	d.shown = line
	d.say("\r\x1b[K%s", line)
}

func (d *demo) play(ctx context.Context, c *config, ended <-chan error) error {
	if err := d.ready(ctx, ended); err != nil {
		return err
	}
	d.say("Ready after %.1f s.\n", time.Since(d.begin).Seconds())
	status, models, err := d.send(ctx, http.MethodGet, "/models", "", nil)
	if err != nil || status != http.StatusOK {
		return errors.Join(err, fmt.Errorf("GET /models: %d", status))
	}
	played := map[bool]bool{} // by whether the base writes
	list, _ := models["data"].([]any)
	for _, m := range list {
		m, _ := m.(map[string]any)
		name, _ := m["name"].(string)
		writes := m["task"] != inference.TaskClassification
		if m["kind"] != "base" || played[writes] {
			continue
		}
		played[writes] = true
		play := d.classify
		if writes {
			play = d.instruct
		}
		if err := play(ctx, name); err != nil {
			return err
		}
	}
	d.say("\nDone in %.1f s. Start the service with `service` and see /docs.\n", time.Since(d.begin).Seconds())
	return nil
}

// classify tunes two adapters on one frozen encoder, and asks both in one batch.
func (d *demo) classify(ctx context.Context, base string) error {
	d.say("\nA frozen base, %s, scores texts. It has no classification head yet:\n", base)
	before, err := d.predict(ctx, map[string]any{"model": base, "inputs": "What a wonderful evening!"})
	if err != nil {
		return err
	}
	d.say("  %v\n", before["detail"])
	const text = "The waiter was charming and the dessert was superb."
	for _, task := range []string{"sentiment", "topic"} {
		rows, err := column(task)
		if err != nil {
			return err
		}
		err = d.tune(ctx, "/tune/lora", task+".csv", "text/csv", rows, map[string]any{"model": base, "name": task,
			"validation": map[string]any{"split": 0.25}, "hyperparameters": map[string]any{"epochs": 15}}, "eval_accuracy")
		if err != nil {
			return err
		}
		if _, err := d.predict(ctx, map[string]any{"model": base, "adapter": task, "inputs": text, "top_k": 1}); err != nil {
			return err
		}
	}
	d.say("\nOne batch, one text, two adapters:\n")
	_, err = d.predict(ctx, map[string]any{"model": base, "inputs": []string{text, text}, "adapters": []string{"sentiment", "topic"}, "top_k": 1})
	return err
}

// instruct teaches a base that writes a new answer to an old question.
func (d *demo) instruct(ctx context.Context, base string) error {
	d.say("\nA frozen base, %s, writes texts:\n", base)
	review := map[string]any{"model": base, "instruction": "Rate this review.", "input": "The room was clean but the breakfast was cold."}
	for _, ask := range []map[string]any{{"model": base, "instruction": "Is this review positive or negative?", "input": "The soup was cold and the waiter was rude."}, review} {
		if err := d.generate(ctx, ask); err != nil {
			return err
		}
	}
	err := d.tune(ctx, "/tune/instruction", "instructions.jsonl", "application/jsonl", []byte(examples.Instructions), map[string]any{"model": base, "name": "stars",
		"validation": map[string]any{"split": 0.2}, "hyperparameters": map[string]any{"epochs": 30, "learning_rate": 3e-3},
		"lora": map[string]any{"target_modules": "all-linear"}}, "eval_token_accuracy")
	if err != nil {
		return err
	}
	d.say("\nThe same instruction, the frozen base with the adapter:\n")
	review["adapter"] = "stars"
	return d.generate(ctx, review)
}

// ready waits until the service answers, showing what it is doing.
func (d *demo) ready(ctx context.Context, ended <-chan error) error {
	for {
		status, answer, err := d.send(ctx, http.MethodGet, "/readyz", "", nil)
		if err == nil && status == http.StatusOK {
			d.progress("")
			return nil
		}
		if what, ok := answer["detail"].(string); ok {
			d.progress(what)
		}
		select {
		case err := <-ended:
			return errors.Join(errEnded, err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// tune uploads rows, submits a job on them and follows it to its end.
func (d *demo) tune(ctx context.Context, path, file, kind string, rows []byte, body map[string]any, metric string) error {
	_, set, err := d.send(ctx, http.MethodPost, "/datasets?name="+url.QueryEscape(file), kind, rows)
	if err != nil {
		return err
	}
	d.say("\n$ curl %s/datasets -T %s\n  %v rows of kind %v\n", d.url, file, set["rows"], set["kind"])
	body["dataset"] = map[string]any{"id": set["id"]}
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	d.say("$ curl %s%s -H 'Content-Type: application/json' -d '%s'\n", d.url, path, b)
	status, job, err := d.send(ctx, http.MethodPost, path, "application/json", b)
	if err != nil {
		return err
	}
	if status != http.StatusAccepted {
		return fmt.Errorf("the job is not taken: %v", job["detail"])
	}
	return d.follow(ctx, job, metric)
}

// follow shows how a job comes on.
func (d *demo) follow(ctx context.Context, job map[string]any, metric string) (err error) {
	path := fmt.Sprint("/tune/jobs/", job["id"])
	for {
		if _, job, err = d.send(ctx, http.MethodGet, path, "", nil); err != nil {
			return err
		}
		p, _ := job["progress"].(map[string]any)
		percent, _ := p["percent"].(float64)
		d.progress(fmt.Sprintf("  %s %3.0f %% %v", bar(percent), percent, job["status"]))
		switch job["status"] {
		case "succeeded":
			metrics, _ := job["metrics"].(map[string]any)
			result, _ := job["result"].(map[string]any)
			d.progress("")
			d.say("  registered %v, %s on rows held back %.2f\n", result["adapter"], strings.ReplaceAll(strings.TrimPrefix(metric, "eval_"), "_", " "), metrics[metric])
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("the job ends as %v: %v", job["status"], job["error"])
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func bar(percent float64) string {
	n := int(percent / 5)
	return "[" + strings.Repeat("=", n) + strings.Repeat(" ", 20-n) + "]"
}

// predict sends a request as curl would, and shows both.
func (d *demo) predict(ctx context.Context, body map[string]any) (map[string]any, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	d.say("$ curl %s/predict -H 'Content-Type: application/json' -d '%s'\n", d.url, b)
	status, answer, err := d.send(ctx, http.MethodPost, "/predict", "application/json", b)
	if err != nil || status != http.StatusOK {
		return answer, err
	}
	results, _ := answer["results"].([]any)
	for _, r := range results {
		m, _ := r.(map[string]any)
		score, _ := m["score"].(float64)
		from := ""
		if a, ok := m["adapter"]; ok {
			from = fmt.Sprintf(" (%v)", a)
		}
		d.say("  %v %.2f%s\n", m["label"], score, from)
	}
	return answer, nil
}

// generate sends a request as curl would, and shows both.
func (d *demo) generate(ctx context.Context, body map[string]any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	d.say("$ curl %s/generate -H 'Content-Type: application/json' -d '%s'\n", d.url, b)
	status, answer, err := d.send(ctx, http.MethodPost, "/generate", "application/json", b)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("POST /generate: %v", answer["detail"])
	}
	if err == nil {
		d.say("  %v\n", answer["text"])
	}
	return err
}

func (d *demo) send(ctx context.Context, method, path, kind string, body []byte) (int, map[string]any, error) {
	req, err := http.NewRequestWithContext(ctx, method, d.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }() // read only
	var answer map[string]any
	err = json.NewDecoder(res.Body).Decode(&answer)
	return res.StatusCode, answer, err
}

// column makes a CSV of text and label out of the reviews.
func column(name string) ([]byte, error) {
	rows, err := csv.NewReader(strings.NewReader(examples.Reviews)).ReadAll()
	if err != nil {
		return nil, err
	}
	at := map[string]int{"sentiment": 1, "topic": 2}[name]
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	for i, r := range rows {
		label := r[at]
		if i == 0 {
			label = "label"
		}
		if err := w.Write([]string{r[0], label}); err != nil {
			return nil, err
		}
	}
	w.Flush()
	return b.Bytes(), w.Error()
}
