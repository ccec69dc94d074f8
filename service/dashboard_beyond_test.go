package main

import (
	"archive/tar"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"lorikeet/inference/inferencetest"
)

// TestDashboardBeyond does in a browser what TestBeyond does with curl.
func TestDashboardBeyond(t *testing.T) {
	b := openBrowser(t, "about:blank")
	c, dir := tour(t)
	base := inferencetest.Base(t, "tiny", dir)
	for seed := range uint64(9) { // more than the playground has cards for
		config, weights := inferencetest.Adapter(t, base, 10+seed, 4, "x", "y", "z")
		c.upload(201, "/adapters", map[string]string{"name": "mine"}, map[string][]byte{"adapter_config.json": config, "adapter_model.safetensors": weights})
	}
	b.url = c.url
	b.do(chromedp.Navigate(c.url))
	b.sees("Who answers")
	var set, job string
	for _, step := range []struct {
		name string
		do   func(browser)
	}{
		{"splits traffic", func(b browser) { splitThere(b, c) }},
		{"shows a passport and gives the merged model out", func(b browser) { takeThere(b) }},
		{"merges adapters", func(b browser) { mergeThere(b, c) }},
		{"examines and cleans rows", func(b browser) { set = cleanThere(b, c) }},
		{"tunes with a gate", func(b browser) { job = gateThere(b, c, set) }},
		{"says which answers were right", func(b browser) { judgeThere(b, c) }},
		{"makes a data set of feedback", func(b browser) { collectThere(b, c) }},
		{"asks many adapters at once, which may abstain", func(b browser) { fanOutThere(b) }},
	} {
		if !t.Run(step.name, func(t *testing.T) { b.T = t; step.do(b) }) {
			t.FailNow() // the steps build on each other
		}
	}
	c.must("", "adapters", "delete", "--yes", "mine", "yours", "both") // axe takes its time with every version that is left
	c.call(201, "POST", "/feedback", map[string]any{"collection": "reviews", "row": map[string]any{"text": "so long", "label": "negative"}, "correct": false, "adapter": "reviews@1"})
	// judged asks, and opens what takes the right answer.
	const judged = `(async () => { document.querySelector(".ask").requestSubmit();
		while (!document.querySelector(".judge")) await new Promise(done => setTimeout(done, 20));
		document.querySelectorAll(".judge button[aria-expanded]").forEach(e => e.click());
		scrollTo(0, 0); })()`
	everywhere := []section{{at: "models/reviews", heading: "Models"}, {at: "jobs/" + job, heading: "reviews"}, {at: "playground", heading: "Playground", then: judged},
		{at: "datasets/" + set, heading: "Data", then: "document.querySelectorAll('.doctor button').forEach(e => e.click())"},
		{at: "datasets/feedback/reviews", heading: "Data"}}
	t.Run("fits a phone", func(t *testing.T) { b.T = t; phone(b, everywhere) })
	t.Run("passes axe", func(t *testing.T) { b.T = t; accessible(b, everywhere) })
	t.Run("deletes feedback", func(t *testing.T) { b.T = t; forgetThere(b, c) })
	t.Run("deletes a job that is over", func(t *testing.T) { b.T = t; deleteJobThere(b, c, job) })
}

// splitThere gives an older version some of the requests, with mouse and keyboard.
func splitThere(b browser, c client) {
	b.visit("models/mine", "Models")
	b.click(".traffic summary", "Traffic")
	b.sees("are all answered by @10")
	b.fill("mine@10", "0")
	b.sees("No version has a weight above 0.")
	b.click("button", "Split the traffic")
	if at := b.eval("document.activeElement.type + document.querySelectorAll('.weights [aria-invalid=true]').length"); at != "number10" {
		b.Errorf("the focus and the faults are at %v", at)
	}
	b.fill("mine@10", "1.5")
	b.sees("A weight is a whole number")
	b.fill("mine@10", "90")
	b.eval("document.querySelectorAll('.weights input[type=range]')[1].focus()") // of mine@9
	for range 10 {
		b.do(chromedp.KeyEvent(kb.ArrowRight))
	}
	focused(b)
	if shares := b.eval("[...document.querySelectorAll('.weights output')].slice(0, 3).map(e => e.innerText).join()"); shares != "90 %,10 %,0 %" {
		b.Errorf("the shares are %v", shares)
	}
	b.choose("A caller stays", "API key")
	b.click("button", "Split the traffic")
	b.sees("Requests for mine are split by weight")
	b.wait("the focus where it was", "document.activeElement.closest('.traffic')", 5*time.Second)
	if now := c.call(200, "GET", "/adapters/mine/traffic", nil); fmt.Sprintf("%v %v", now["versions"], now["sticky"]) != "map[10:90 9:10] client" {
		b.Errorf("the traffic is %v", now)
	}
	b.click("button", "8 more versions")
	b.wait("a row for each", "document.querySelectorAll('.traffic .weights li:not([hidden])').length == 10", 5*time.Second)
	b.click("button", "End the split")
	b.wait("the end", "document.querySelector('.traffic:not([open])')", 10*time.Second)
	if c.call(200, "GET", "/adapters/mine/traffic", nil)["active"] != false {
		b.Error("the split goes on")
	}
}

// takeThere downloads the merged model, as a file on the disk.
func takeThere(b browser) {
	to := b.TempDir()
	if _, err := chromedp.CallBrowser(b.ctx, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{Behavior: "allow", DownloadPath: to}); err != nil {
		b.Fatal(err)
	}
	b.visit("models/yours", "Models")
	b.click(".passport summary", "Passport")
	b.sees("Made for")
	b.sees("tiny")
	b.click("button", "merged with its base")
	file, names := filepath.Join(to, "yours-1.tar"), ""
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(file); err == nil {
			break
		}
		if time.Now().After(end) {
			left, _ := os.ReadDir(to)
			b.Fatalf("the file does not come; there is %v", left)
		}
	}
	f, err := os.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err != nil {
			break
		}
		names += h.Name + " "
	}
	if !strings.Contains(names, "yours-1/config.json") || !strings.Contains(names, "yours-1/model.safetensors") {
		b.Errorf("the file holds %s", names)
	}
}

// mergeThere merges two adapters after a mistake.
func mergeThere(b browser, c client) {
	b.visit("models", "Models")
	b.click("summary", "Merge adapters")
	b.choose("Adapter 1", "mine@3")
	b.choose("Adapter 2", "yours@1")
	b.choose("Method", "ties:")
	b.fill("Name of the merged adapter", "both")
	b.fill("Density", "2")
	b.expect("422")
	b.click("button", "Merge")
	b.wait("the fault", "document.querySelector('.merge [role=alert]')?.innerText.includes('density')", 10*time.Second)
	b.fill("Density", "0.4")
	b.click("button", "Merge")
	b.wait("the new adapter, open", "[...document.querySelectorAll('.series[open] .title')].some(e => e.innerText.startsWith('both'))", 10*time.Second)
	b.click(".passport summary", "Passport")
	b.sees("mine@3 × 0.5, yours@1 × 0.5")
	if p := c.call(200, "GET", "/adapters/both/versions/1/passport", nil)["merged"].(map[string]any); p["method"] != "ties" || p["density"] != 0.4 {
		b.Errorf("merged as %v", p)
	}
}

// cleanThere leaves rows out, and gives the data set that was cleaned.
func cleanThere(b browser, c client) string {
	sentiment, err := column("sentiment")
	if err != nil {
		b.Fatal(err)
	}
	sick := "so good,positive\nso good,positive\nso good,positive\nSo good!,positive\nso so,positive\nso so,negative\n"
	set := c.upload(201, "/datasets", nil, map[string][]byte{"file": append(sentiment, sick...)})["id"].(string)
	b.visit("datasets/"+set, "Data")
	b.wait("its first rows", "document.querySelectorAll('.series[open] tbody tr').length == 5", 10*time.Second)
	b.click("button", "Examine the rows")
	b.sees("rows have nothing the matter")
	b.sees("the same text with another answer")
	b.click(".finding summary", "twice, letter by letter")
	b.wait("its examples", "document.querySelector('.finding[open] tbody td')?.innerText.length > 0", 5*time.Second)
	b.size(1280, 860, "light")
	b.eval("scrollTo(0, 0), new Promise(done => setTimeout(done, 200)).then(() => document.querySelector('.doctor').scrollIntoView())")
	b.shot("doctor")
	b.size(1280, 900, "light")
	b.fill("Name of the new data set", "tidy")
	b.click("button", "Make a cleaned data set")
	b.wait("the new data set, open", "[...document.querySelectorAll('.series[open] .title')].some(e => e.innerText.includes('tidy'))", 10*time.Second)
	b.sees("rows are left out")
	for _, d := range c.call(200, "GET", "/datasets", nil)["data"].([]any) {
		if d := d.(map[string]any); d["name"] == "tidy" && d["cleaned_from"] == set {
			return set
		}
	}
	b.Error("there is no cleaned data set")
	return set
}

// gateThere tunes with a gate in the form, then once more in vain, and gives the second job.
func gateThere(b browser, c client, set string) string {
	b.visit("tune?dataset="+set, "Tune")
	b.click("summary", "Advanced")
	b.fill("Name of the adapter", "reviews")
	b.fill("Epochs", "2")
	b.fill("Held back", "0.25")
	b.fill("Gate: becomes current only if better in", "accuracy")
	b.expect("422")
	b.click("button", "Check the plan")
	b.wait("the fault at its field", "document.activeElement.name == 'promote.if' && document.activeElement.getAttribute('aria-invalid')", 10*time.Second)
	b.fill("Gate: becomes current only if better in", "eval_accuracy")
	b.click("button", "Check the plan")
	b.wait("the plan", "document.querySelector('[aria-label=Plan]')?.innerText.includes('if eval_accuracy is better than that of the current version')", 20*time.Second)
	b.click("button", "Start tuning")
	b.wait("success", "document.querySelector('h1 .badge')?.innerText == 'succeeded'", 5*time.Minute)
	b.sees("passed its gate")
	spec := map[string]any{"model": "tiny", "name": "reviews", "dataset": map[string]any{"id": set}, "validation": map[string]any{"split": 0.25},
		"hyperparameters": map[string]any{"max_steps": 1, "learning_rate": 1e-9}, "promote": map[string]any{"if": "eval_accuracy", "min_delta": 0.9}}
	job := c.finish(c.call(202, "POST", "/tune/lora", spec)["id"].(string))["id"].(string)
	b.visit("jobs/"+job, "reviews")
	b.sees("held back by its gate")
	b.click("a", "reviews@2")
	b.wait("its gate", "document.querySelector('[aria-label=\"Gate of reviews@2\"]')?.innerText.includes('25 % of "+set+"')", 10*time.Second)
	b.sees("by more than 0.9")
	c.call(200, "POST", "/adapters/reviews/traffic", map[string]any{"versions": map[string]int{"1": 90, "2": 10}})
	b.do(chromedp.Reload())
	b.wait("its gate and its traffic", "document.querySelector('.gate') && document.querySelector('.traffic[open]')", 10*time.Second)
	b.size(1280, 860, "light")
	b.eval("scrollTo(0, 0), new Promise(done => setTimeout(done, 200)).then(() => document.querySelector('.series[open]').scrollIntoView())")
	b.shot("adapter")
	b.size(1280, 900, "light")
	return job
}

// fanOutThere asks two, then all.
func fanOutThere(b browser) {
	b.visit("playground", "Playground")
	b.eval("[...document.querySelectorAll('.chip')].forEach(l => { if (l.control.checked != ['mine', 'yours'].includes(l.control.value)) l.control.click(); })")
	b.click("summary", "How sure it must be")
	b.fill("Abstain below", "1")
	b.click("button", "Compare")
	b.wait("two that abstain", "[...document.querySelectorAll('.results .card:not([aria-busy]) .verdict')].filter(e => e.innerText == 'abstains').length == 2", 20*time.Second)
	b.sees("not sure enough")
	b.sees("one batch of 2")
	b.wait("the request", `document.querySelector('.curl').textContent.includes('"abstain_below":1,"fan_out":["mine","yours"]')`, 5*time.Second)
	b.eval(field("Abstain below") + ".select()")
	b.do(chromedp.KeyEvent(kb.Backspace))
	b.eval("[...document.querySelectorAll('.check input')].forEach(e => e.click())") // every version
	b.click("button", "None")
	b.wait("none of them", "!document.querySelector('.chip :checked')", 5*time.Second)
	b.click("button", "All")
	b.click("button", "Compare")
	b.wait("a line for each", "document.querySelectorAll('.results .lines .card:not([aria-busy]) .verdict').length == document.querySelectorAll('.chip').length", 20*time.Second)
	if n := b.eval("document.querySelectorAll('.lines .card').length").(float64); n < 12 {
		b.Errorf("only %v answer", n)
	}
}
