package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"lorikeet/tuning"
	"lorikeet/tuning/data"
)

// hostile is what someone may call a label or a file who wants to run a script in the
// browser of whoever looks at it.
const hostile = `"'><img src=x onerror=pwned()><script>pwned()</script><svg onload=pwned()>`

// section is a place of the dashboard; then is what is done there before it is looked at.
type section struct{ at, heading, then string }

var sections = []section{{at: "playground", heading: "Playground"}, {at: "models", heading: "Models"}, {at: "datasets", heading: "Data"}, {at: "tune", heading: "Tune"}, {at: "jobs", heading: "Jobs"}, {at: "system", heading: "System"}}

// TestDashboard is a user's first hour in a browser.
func TestDashboard(t *testing.T) {
	b := openBrowser(t, "about:blank") // skips before a service is started
	c, _ := launch(t, "--data", t.TempDir(), "--allow-dir", t.TempDir())
	b.url = c.url
	b.do(chromedp.Navigate(c.url))
	b.eval("window.pwned = () => { throw new Error('a script of the data ran'); }")

	b.sees("Nothing to compare yet")
	for _, s := range sections {
		b.visit(s.at, s.heading)
	}
	b.visit("tune", "Tune")
	b.sees("Rows first")
	uploadThere(b)
	job := tuneThere(b)
	watchThere(b, job)
	hostileJob(b, c)
	compareThere(b, c)
	t.Run("generates side by side", func(t *testing.T) { b.T = t; generateThere(b, c) })
	t.Run("is worked with the keyboard alone", func(t *testing.T) { b.T = t; keyboard(b) })
	everywhere := append(slices.Clone(sections), section{at: "jobs/" + job, heading: "sentiment"})
	t.Run("fits a phone", func(t *testing.T) { b.T = t; phone(b, everywhere) })
	t.Run("reads streams that are cut anywhere", func(t *testing.T) { b.T = t; streams(b) })
	t.Run("knows the service's defaults", func(t *testing.T) { b.T = t; defaults(b) })
	t.Run("passes axe", func(t *testing.T) { b.T = t; accessible(b, everywhere) })
	t.Run("deletes after a question", func(t *testing.T) { b.T = t; deletes(b, c) })
}

// uploadThere brings in a bad file, then the reviews with a name that is an attack.
func uploadThere(b browser) {
	b.Helper()
	b.visit("datasets", "Data")
	b.sees("No data yet")
	b.expect("422")
	b.uploads("bad.csv", []byte("text,label\ngood,a\n,b\nfine,\n"))
	b.sees("bad.csv is refused")
	b.sees("line 3")
	b.sees("line 4")
	sentiment, err := column("sentiment")
	if err != nil {
		b.Fatal(err)
	}
	b.uploads("reviews.csv", sentiment)
	b.sees("positive")
	b.sees("120 rows")
	b.wait("its first rows", "document.querySelectorAll('.report tbody tr').length == 5", 10*time.Second)

	// The same by drag and drop, with hostile texts.
	rows := "text,label\n"
	for i := range 24 {
		rows += fmt.Sprintf("\"%s %d\",\"%s%d\"\n", strings.ReplaceAll(hostile, `"`, `""`), i, strings.ReplaceAll(hostile, `"`, `""`), i%2)
	}
	b.eval(`(() => { const d = new DataTransfer(); d.items.add(new File([` + quoted(rows) + `], ` + quoted(hostile+".csv") + `));
		document.querySelector(".drop").dispatchEvent(new DragEvent("drop", { dataTransfer: d, bubbles: true, cancelable: true })); })()`)
	b.wait("the report of the dropped file", "document.querySelector('.report h2')?.innerText.includes('onerror')", 10*time.Second)
	b.sees(hostile + "0")
}

// tuneThere fills in the form, wrong at first, and gives the job.
func tuneThere(b browser) string {
	b.Helper()
	b.click("nav a", "Tune")
	b.choose("Rows", "reviews.csv")
	b.fill("Name of the adapter", "Not A Name")
	b.fill("Batch size", "0")
	b.click("button", "Check the plan")
	b.wait("the fault at its field", "document.querySelectorAll('[aria-invalid=true]').length == 2", 10*time.Second)
	if at := b.eval("document.activeElement.name"); at != "name" {
		b.Errorf("the focus is at %v, not at the first fault", at)
	}
	b.fill("Name of the adapter", "sentiment")
	b.fill("Batch size", "8")
	b.fill("Epochs", fmt.Sprint(epochs()))
	b.fill("Held back", "0.25")
	b.click("button", "Check the plan")
	b.wait("the plan", "document.querySelector('[aria-label=Plan]')?.innerText.includes('30 held back')", 20*time.Second)
	b.click("button", "Start tuning")
	b.wait("the job", "/#\\/jobs\\/job_/.test(location.hash)", 10*time.Second)
	return strings.TrimPrefix(b.eval("location.hash").(string), "#/jobs/")
}

// epochs are enough to learn from the reviews, and with pictures so many that the curve has
// a shape.
func epochs() int {
	if *screenshots != "" {
		return 12
	}
	return 5
}

// watchThere sees a curve grow while the job runs, and its end.
func watchThere(b browser, job string) {
	b.Helper()
	b.wait("a curve", "document.querySelector('path.curve.one')?.getAttribute('d').split('L').length > 8", 60*time.Second)
	if status := b.eval("document.querySelector('h1 .badge').innerText"); status == "succeeded" {
		b.Log("the job was over before the curve was looked at")
	}
	points := b.eval("document.querySelector('path.curve.one').getAttribute('d').split('L').length").(float64)
	b.wait("it to grow, or the end", fmt.Sprintf("document.querySelector('path.curve.one').getAttribute('d').split('L').length > %v || document.querySelector('h1 .badge').innerText == 'succeeded'", points), 60*time.Second)
	b.wait("success", "document.querySelector('h1 .badge').innerText == 'succeeded'", 5*time.Minute)
	b.sees("sentiment@1")
	b.wait("every step in the log", fmt.Sprintf("document.querySelectorAll('.log > div').length > %d", 12*epochs()), 10*time.Second)
	b.eval("document.querySelector('.plot').focus()")
	b.do(chromedp.KeyEvent(kb.Home), chromedp.KeyEvent(kb.ArrowRight))
	if text := b.eval("document.querySelector('.readout').innerText").(string); !strings.HasPrefix(text, "step 2: ") || !strings.Contains(text, "training loss") {
		b.Errorf("the read-out of the second step is %q", text)
	}
	b.sees("accuracy")
	b.do(chromedp.Reload())
	b.wait("the curve after a reload", fmt.Sprintf("document.querySelector('path.curve.one')?.getAttribute('d').split('L').length == %d", 12*epochs()), 10*time.Second)
	b.eval("document.querySelector('.plot svg').dispatchEvent(new PointerEvent('pointermove', { bubbles: true, clientX: 640, clientY: 300 }))")
	b.size(1280, 860, "dark")
	b.shot("job")
	b.size(1280, 900, "light")
}

// hostileJob tunes an adapter whose labels are an attack, which then stands everywhere.
func hostileJob(b browser, c client) {
	b.Helper()
	var set string
	for _, d := range c.call(200, "GET", "/datasets", nil)["data"].([]any) {
		if d := d.(map[string]any); strings.Contains(d["name"].(string), "onerror") {
			set = d["id"].(string)
		}
	}
	spec := map[string]any{"model": "tiny-bert", "name": "topic", "dataset": map[string]any{"id": set}, "hyperparameters": map[string]any{"max_steps": 3}, "metadata": map[string]any{"note": hostile}}
	for range 2 {
		if j := c.finish(c.call(202, "POST", "/tune/lora", spec)["id"].(string)); j["status"] != "succeeded" {
			b.Fatalf("the job ends as %v", j)
		}
		spec["metadata"] = nil
	}
	topics, err := column("topic")
	if err != nil {
		b.Fatal(err)
	}
	set = c.upload(201, "/datasets", nil, map[string][]byte{"file": topics})["id"].(string)
	if j := c.finish(c.call(202, "POST", "/tune/lora", map[string]any{"model": "tiny-bert", "name": "theme", "dataset": map[string]any{"id": set}, "validation": map[string]any{"split": 0.2},
		"hyperparameters": map[string]any{"epochs": epochs() - 4, "batch_size": 8}})["id"].(string)); j["status"] != "succeeded" {
		b.Fatalf("the job ends as %v", j)
	}
}

// compareThere asks the base and the adapters.
func compareThere(b browser, c client) {
	b.Helper()
	b.visit("models", "Models")
	b.click("summary", "topic")
	b.sees("Make current topic@1"[:12])
	b.sees(hostile + "1")
	b.click("button", "Make current")
	b.wait("the older version to be current", "document.querySelector('.series:has(.version) .title').innerText.includes('topic@1')", 10*time.Second)
	b.click(".version button", "Pin")
	b.sees("pinned on device")
	if v := c.call(200, "GET", "/adapters/topic", nil); v["version"] != 1.0 {
		b.Errorf("topic is %v", v["version"])
	}
	b.visit("playground", "Playground")
	b.sees("Who answers")
	b.eval("[...document.querySelectorAll('.chip')].forEach(l => { const box = l.control; if (box.checked != (box.value != '')) box.click(); })")
	b.click("button", "Compare")
	b.wait("three answers", "document.querySelectorAll('.results .card:not([aria-busy]) .verdict').length == 3", 20*time.Second)
	b.sees(hostile)
	if label := b.eval("[...document.querySelectorAll('.results .card')].find(c => c.innerText.startsWith('sentiment')).querySelector('.verdict').innerText"); label != "positive" {
		b.Errorf("sentiment says %v", label)
	}
	b.sees("in one batch")
	b.eval("[...document.querySelectorAll('.chip')].forEach(l => { if (l.innerText.includes('topic')) l.control.click(); })")
	b.eval("document.querySelector('textarea').focus()")
	b.do(chromedp.KeyEvent(kb.Enter, chromedp.KeyModifiers(kb.ModifierCtrl)))
	b.wait("two answers", "document.querySelectorAll('.results .card:not([aria-busy]) .verdict').length == 2", 20*time.Second)
	for _, look := range []struct {
		name          string
		width, height int64
		scheme        string
	}{{"playground", 1280, 860, "light"}, {"phone", 360, 780, "light"}} {
		b.size(look.width, look.height, look.scheme)
		b.shot(look.name)
	}
	b.size(1280, 900, "light")
}

// generateThere streams a text, and corrects it.
func generateThere(b browser, c client) {
	b.visit("playground", "Playground")
	b.choose("Base", "tiny-t5")
	b.fill("Instruction", "Is this review positive or negative?")
	b.fill("Input", "The soup was cold and the waiter was rude.")
	b.click("button", "Compare")
	b.wait("a text", "document.querySelector('.results .text')?.innerText == 'negative'", 20*time.Second)
	b.sees("ended by itself")
	b.click("button", "Wrong…")
	b.fill("The right answer", "it is bad")
	b.click("button", "Keep it")
	b.sees("Corrected, kept in tiny-t5")
	rows := c.call(200, "GET", "/feedback/tiny-t5/rows", nil)["data"].([]any)
	if row, want := rows[0].(map[string]any), "map[input:The soup was cold and the waiter was rude. instruction:Is this review positive or negative? output:it is bad]"; len(rows) != 1 || fmt.Sprint(row["row"]) != want || row["correct"] != false || row["model"] != "tiny-t5" {
		b.Errorf("the feedback is %v", rows)
	}
}

// streams tries the reader of event streams in the page itself.
func streams(b browser) {
	got := b.eval(`(async () => {
		const { parser, follow } = await import("/dashboard/sse.js");
		const text = "\uFEFF: hello\r\nid: 1\ndata: a\ndata:b\n\nevent: step\rdata: {\"x\": 1}\rid: 2\r\r\nretry: 25\nnothing\ndata\n\nid: x\0y\ndata: end\n\n: bye\ndata: not whole";
		const whole = cut => { const out = []; const feed = parser(e => out.push([e.id, e.event, e.data].join("|"))); for (const part of cut) feed(part); return out.join(";"); };
		const want = whole([text]), wrong = [];
		for (let i = 1; i < text.length; i++) for (const j of [i, (i * 7) % text.length]) {
			const [a, z] = [Math.min(i, j), Math.max(i, j)];
			if (whole([text.slice(0, a), text.slice(a, z), text.slice(z)]) !== want) wrong.push(i);
		}
		if (whole([...text]) !== want) wrong.push("letter by letter");
		// A stream that breaks is asked for again after the last event that came.
		const asked = [], seen = [], states = [];
		const answers = ["retry: 5\nid: 1-1\ndata: 1\n\nid: 2-1\ndata: 2\n\nid: 3-1\ndata: ha", "", "id: 3-1\ndata: 3\n\nid: 4-1\nevent: status\ndata: 4\n\n", "id: 5-1\ndata: too late\n\n"];
		await follow(async headers => {
			asked.push(headers["Last-Event-ID"] || "");
			if (asked.length === 2) throw new Error("refused");
			return new Response(answers[asked.length - 1]);
		}, { signal: new AbortController().signal, onEvent: e => { seen.push(e.data); return e.event === "status"; }, onState: s => states.push(s) });
		let stopped = "";
		await follow(async () => { const e = new Error(); e.problem = { status: 404 }; throw e; }, { signal: new AbortController().signal, onEvent: () => {} }).catch(e => { stopped = String(e.problem.status); });
		return { want, wrong, asked: asked.join(), seen: seen.join(), states: states.join(), stopped };
	})()`).(map[string]any)
	want := map[string]string{"want": "1|message|a\nb;2|step|{\"x\": 1};2|message|;2|message|end", "asked": ",2-1,2-1", "seen": "1,2,3,4", "states": "live,reconnecting,reconnecting,live", "stopped": "404"}
	for k, v := range want {
		if got[k] != v {
			b.Errorf("%s is %q, want %q", k, got[k], v)
		}
	}
	if len(got["wrong"].([]any)) > 0 {
		b.Errorf("read otherwise when cut at %v", got["wrong"])
	}
}

// defaults compares what the form says is the default with what the service takes.
func defaults(b browser) {
	for _, s := range []tuning.Spec{{Kind: tuning.LoRA}, {Kind: tuning.Full}, {Kind: tuning.Instruction}, {Kind: tuning.Instruction, Method: "full"}} {
		text, err := json.Marshal(s.WithDefaults())
		if err != nil {
			b.Fatal(err)
		}
		got := b.eval(`(async () => {
			const { options } = await import("/dashboard/tune.js");
			const spec = ` + string(text) + `, f = { kind: spec.kind, method: spec.method || "lora" }, wrong = [], named = new Set();
			for (const o of options) {
				named.add(o.at);
				const standard = typeof o.standard === "function" ? o.standard(f) : o.standard;
				const [group, name] = o.at.split(".");
				const taken = name && spec[group] ? spec[group][name] : undefined;
				if ((!o.when || o.when(f)) && taken !== standard) wrong.push(o.at + " is " + standard + ", the service takes " + taken);
			}
			for (const group of ["hyperparameters", "lora"]) for (const name of Object.keys(spec[group] || {})) {
				if (!named.has(group + "." + name) && !["shuffle", "use_rslora"].includes(name)) wrong.push(group + "." + name + " is not in the form");
			}
			return wrong;
		})()`).([]any)
		if len(got) > 0 {
			b.Errorf("%s %s: %v", s.Kind, s.Method, got)
		}
	}
	for name, want := range map[string][]string{"ailments": data.Ailments, "cures": data.Cures} {
		if got := b.eval("import('/dashboard/doctor.js').then(m => m." + name + ".join())"); got != strings.Join(want, ",") {
			b.Errorf("%s are %v, the service has %v", name, got, want)
		}
	}
}

// deletes takes an adapter away, and leaves it when told to.
func deletes(b browser, c client) {
	b.visit("models", "Models")
	b.click("summary", "theme")
	b.click("button", "Delete all versions")
	b.click("dialog button", "Keep it")
	b.wait("no dialog", "!document.querySelector('dialog')", 5*time.Second)
	c.call(200, "GET", "/adapters/theme", nil)
	b.click("button", "Delete all versions")
	b.click("dialog button", "Delete")
	b.sees("theme is deleted")
	c.call(404, "GET", "/adapters/theme", nil)
}

// TestDashboardAsksForAKey opens it where requests need one.
func TestDashboardAsksForAKey(t *testing.T) {
	b := openBrowser(t, "about:blank")
	data := t.TempDir()
	token := adminKey(t, "--data", data)
	c, _ := launch(t, "--data", data, "--keys")
	b.expect("401")
	b.do(chromedp.Navigate(c.url))
	b.sees("This service asks for an API key")
	b.fill("Key", "lk_wrong")
	b.click("dialog button", "Use this key")
	b.sees("API key not accepted")
	b.click("button", "API key")
	b.fill("Key", token)
	b.do(chromedp.KeyEvent(kb.Enter))
	b.sees("Who answers")
	b.visit("system", "System")
	b.sees("Workers")
	if kept := b.eval("[localStorage.length, sessionStorage.length, document.cookie, Object.values(sessionStorage).includes(" + quoted(token) + ")].join()"); kept != "0,1,,true" {
		t.Errorf("local storage, session storage, cookies, key: %v", kept)
	}
	b.do(chromedp.Reload())
	b.sees("places in use")
}
