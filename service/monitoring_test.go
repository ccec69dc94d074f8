package main

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"lorikeet/inference/inferencetest"
)

const (
	dashboardFile = "../examples/helm/lorikeet/files/dashboard.json"
	alertsFile    = "../examples/helm/lorikeet/files/alerts.yaml"
	runbookFile   = "../docs/RUNBOOK.md"
)

// alert is a rule of alertsFile.
type alert struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func alerts(t *testing.T) (all []alert) {
	t.Helper()
	raw, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string  `yaml:"name"`
			Rules []alert `yaml:"rules"`
		} `yaml:"groups"`
	}
	dec := yaml.NewDecoder(strings.NewReader(string(raw)))
	dec.KnownFields(true)
	if err := dec.Decode(&file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// series are the metrics on a page: of each name the labels, and of each the values.
type series map[string]map[string]map[string]bool

func seriesOf(t *testing.T, page string) series {
	t.Helper()
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	all := series{}
	for name, f := range families {
		names := []string{name}
		if len(f.Metric) > 0 && f.Metric[0].Histogram != nil {
			names = []string{name + "_bucket", name + "_sum", name + "_count"}
		}
		for _, name := range names {
			all[name] = map[string]map[string]bool{}
			if strings.HasSuffix(name, "_bucket") {
				all[name]["le"] = nil
			}
			for _, m := range f.Metric {
				for _, l := range m.Label {
					if all[name][l.GetName()] == nil {
						all[name][l.GetName()] = map[string]bool{}
					}
					all[name][l.GetName()][l.GetValue()] = true
				}
			}
		}
	}
	return all
}

// given are labels that Prometheus and Kubernetes add.
var given = []string{"job", "instance", "namespace", "pod"}

// closed are labels whose values are a list in the program: one that is not on the page
// is a mistake. What goes wrong only in bad times is added.
var closed = map[string][]string{"outcome": {"error", "failed", "retried"}, "tier": nil, "result": nil, "status": nil, "kind": nil, "type": nil, "source": nil}

// check parses an expression and looks its selectors up.
func (s series) check(t *testing.T, where, expr string) {
	t.Helper()
	tree, err := parser.ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	names := map[string]bool{}
	parser.Inspect(tree, func(n parser.Node, _ []parser.Node) error {
		v, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		if v.Name == "up" { // Prometheus' own
			names["job"], names["instance"] = true, true
			return nil
		}
		has, ok := s[v.Name]
		if !ok {
			t.Errorf("%s: there is no metric %s", where, v.Name)
			return nil
		}
		for l := range has {
			names[l] = true
		}
		for _, m := range v.LabelMatchers {
			values, known := has[m.Name]
			switch {
			case m.Name == model.MetricNameLabel, slices.Contains(given, m.Name):
			case !known:
				t.Errorf("%s: %s has no label %s", where, v.Name, m.Name)
			case m.Type == labels.MatchEqual:
				if more, ok := closed[m.Name]; ok && !values[m.Value] && !slices.Contains(more, m.Value) {
					t.Errorf("%s: %s is never %s=%q", where, v.Name, m.Name, m.Value)
				}
			}
		}
		return nil
	})
	parser.Inspect(tree, func(n parser.Node, _ []parser.Node) error {
		if a, ok := n.(*parser.AggregateExpr); ok {
			for _, l := range a.Grouping {
				if !names[l] && !slices.Contains(given, l) {
					t.Errorf("%s: no metric has the label %s that it is grouped by", where, l)
				}
			}
		}
		return nil
	})
}

// TestDashboardAndAlertsAskForMetricsThatExist plays some traffic and then looks every
// name of the dashboard and of the alerts up on the page of metrics.
func TestDashboardAndAlertsAskForMetricsThatExist(t *testing.T) {
	c, _ := launch(t, "--base", "tiny="+inferencetest.BERT(t), "--base", "writer="+inferencetest.T5(t), "--data", t.TempDir())
	set := c.upload(201, "/datasets", nil, map[string][]byte{"file": rows(32)})
	id := c.call(202, "POST", "/tune/lora", map[string]any{"model": "tiny", "name": "reviews", "dataset": map[string]any{"id": set["id"]},
		"hyperparameters": map[string]any{"epochs": 60}})["id"].(string)
	running := ""
	for begun := time.Now(); !strings.Contains(running, "lorikeet_train_loss{"); time.Sleep(10 * time.Millisecond) {
		if _, running = get(t, c.url+"/metrics"); time.Since(begun) > time.Minute {
			t.Fatal("no loss is shown while the job runs")
		}
	}
	c.finish(id)
	c.call(200, "POST", "/predict", map[string]any{"model": "tiny", "adapter": "reviews", "inputs": "the movie was great"})
	c.call(200, "POST", "/generate", map[string]any{"model": "writer", "prompt": "the movie", "parameters": map[string]any{"max_new_tokens": 3}})
	_, page := get(t, c.url+"/metrics")
	lint(t, "the service", page)
	found := seriesOf(t, page)
	if found["lorikeet_train_loss"] != nil {
		t.Error("the loss of a job that is over is still shown")
	}
	found["lorikeet_train_loss"] = seriesOf(t, running)["lorikeet_train_loss"]

	raw, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			ID      int    `json:"id"`
			Title   string `json:"title"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	if err := json.Unmarshal(raw, &board); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", "5m", "$namespace", ".*")
	asked, ids := 0, map[int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the id %d", p.ID)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			asked++
			found.check(t, "dashboard, "+p.Title, variables.Replace(target.Expr))
		}
	}
	rules := alerts(t)
	for _, a := range rules {
		found.check(t, "alert "+a.Alert, a.Expr)
	}
	if asked < 40 || len(rules) < 10 {
		t.Errorf("%d expressions and %d alerts were found: some were not read", asked, len(rules))
	}
	// And the other way: what is measured is shown, or is told apart below.
	text := string(raw)
	for _, a := range rules {
		text += a.Expr
	}
	unshown := []string{"lorikeet_build_info", // the variable of the dashboard asks for it
		"lorikeet_batches_total", "lorikeet_batch_rows_total", // lorikeet_batch_size has them
		"lorikeet_adapter_slots", "lorikeet_models", "lorikeet_http_requests_in_flight", "lorikeet_uploads_total"}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		family := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if strings.HasPrefix(name, "lorikeet_") && !strings.Contains(text, family) && !slices.Contains(unshown, family) && family != "lorikeet_http_request_duration_seconds" {
			t.Errorf("%s is on no panel and in no alert", family)
		}
	}
}

// TestEveryAlertIsInTheRunbook keeps the two together.
func TestEveryAlertIsInTheRunbook(t *testing.T) {
	raw, err := os.ReadFile(runbookFile)
	if err != nil {
		t.Fatal(err)
	}
	headings := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^### (Lorikeet\w+)$`).FindAllStringSubmatch(string(raw), -1) {
		headings[m[1]] = true
	}
	for _, a := range alerts(t) {
		if !headings[a.Alert] {
			t.Errorf("%s has no chapter in the runbook", a.Alert)
		}
		delete(headings, a.Alert)
		if a.Annotations["summary"] == "" || a.Labels["severity"] == "" {
			t.Errorf("%s says too little: %v %v", a.Alert, a.Labels, a.Annotations)
		}
	}
	for name := range headings {
		t.Errorf("the runbook has a chapter on %s, of which there is no alert", name)
	}
}
