package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// screenshots are for the README: go test ./service -run Dashboard -screenshots "$PWD/docs/images"
var screenshots = flag.String("screenshots", "", "folder to write screenshots of the dashboard to")

// browser is a tab of a headless Chromium. Whatever the page complains of on its console
// fails the test, and so does a script that was not ours.
type browser struct {
	*testing.T
	ctx context.Context
	url string

	mu       *sync.Mutex
	expected *[]string // parts of complaints that are meant to come
}

// openBrowser starts a Chromium and a tab in it, or skips the test.
func openBrowser(t *testing.T, url string) browser {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: no browser is started")
	}
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("missing chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()),
		chromedp.WindowSize(1280, 900), chromedp.Flag("font-render-hinting", "none"), chromedp.Flag("force-color-profile", "srgb"), chromedp.Flag("disable-dev-shm-usage", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's own does not work for root
	}
	ctx, end := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(end)
	return newTab(ctx, t, url)
}

func newTab(ctx context.Context, t *testing.T, url string) browser {
	t.Helper()
	ctx, end := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits for the process to end
		end()
	})
	b := browser{T: t, ctx: ctx, url: url, mu: &sync.Mutex{}, expected: &[]string{}}
	err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			b.complaint(fmt.Sprint(e.ExceptionDetails.Text, " ", e.ExceptionDetails.Exception))
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError || e.Entry.Source == log.EntrySourceSecurity {
				b.complaint(fmt.Sprint(e.Entry.Text, " ", e.Entry.URL))
			}
		case *page.EventJavascriptDialogOpening:
			b.complaint("a dialog opens: " + e.Message)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.Navigate(url))
	return b
}

func (b browser) complaint(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, part := range *b.expected {
		if strings.Contains(text, part) {
			return
		}
	}
	b.Errorf("the console says: %s", text)
}

// expect has the console complain, where that is what the test is about.
func (b browser) expect(part string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	*b.expected = append(*b.expected, part)
}

func (b browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, end := context.WithTimeout(b.ctx, 30*time.Second)
	defer end()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.Fatal(err)
	}
}

// eval runs an expression in the page and gives what it, or its promise, comes to.
func (b browser) eval(js string) any {
	b.Helper()
	ctx, end := context.WithTimeout(b.ctx, 60*time.Second)
	defer end()
	out, err := chromedp.Run(ctx, chromedp.Evaluate[any](js, chromedp.EvalAwaitPromise))
	if err != nil {
		b.Fatalf("%.200s: %v", js, err)
	}
	return out
}

// call sends a command of the protocol.
func call[P, R any](b browser, c cdp.Command[P, R], params P) {
	b.Helper()
	if _, err := chromedp.Call(b.ctx, c, params); err != nil {
		b.Fatal(err)
	}
}

// wait asks until an expression is true.
func (b browser) wait(what, js string, most time.Duration) {
	b.Helper()
	end := time.Now().Add(most)
	for b.eval("Boolean("+js+")") != true {
		if time.Now().After(end) {
			b.Fatalf("does not come: %s; the page says:\n%v", what, b.eval("document.body.innerText"))
		}
		time.Sleep(40 * time.Millisecond)
	}
}

// sees waits for a text on the page.
func (b browser) sees(text string) {
	b.Helper()
	b.wait(text, "document.body.innerText.includes("+quoted(text)+")", 20*time.Second)
}

// visit goes to a section and waits until it is shown.
func (b browser) visit(section, heading string) {
	b.Helper()
	b.eval("location.hash = " + quoted("#/"+section))
	b.wait(heading, "document.querySelector('main h1')?.innerText.includes("+quoted(heading)+")", 20*time.Second)
}

// click clicks, as a mouse does, on the first element that a selector finds and that has
// this text, once it lies still. Where the page moves in between, what else the mouse hits
// does not hear of it, and it is tried again.
func (b browser) click(selector, text string) {
	b.Helper()
	find := fmt.Sprintf("[...document.querySelectorAll(%s)].find(e => e.innerText.includes(%s) && e.offsetParent)", quoted(selector), quoted(text))
	for end := time.Now().Add(20 * time.Second); ; {
		b.wait(selector+" "+text, find, 20*time.Second)
		at := b.eval(`(async () => {
			const frame = () => new Promise(requestAnimationFrame);
			const place = () => { const r = e.getBoundingClientRect(); return [r.left + r.width / 2, r.top + r.height / 2]; };
			const e = ` + find + `;
			if (!e) return null;
			e.scrollIntoView({ block: "center" });
			for (let before = "", now = String(place()); before != now; now = String(place())) { before = now; await frame(); await frame(); }
			const heard = { hit: false, stop: new AbortController() };
			for (const kind of ["pointerdown", "mousedown", "pointerup", "mouseup", "click"])
				addEventListener(kind, event => {
					if (heard.hit) return; // what follows of it: the click that a label passes on
					if (!e.contains(event.target)) { event.stopImmediatePropagation(); event.preventDefault(); }
					else if (kind == "click") heard.hit = true;
				}, { capture: true, signal: heard.stop.signal });
			window.heard = heard;
			return place();
		})()`)
		if at, found := at.([]any); found {
			b.do(chromedp.MouseClickXY(at[0].(float64), at[1].(float64)))
			if b.eval("!window.heard || (heard.stop.abort(), heard.hit)") == true {
				return
			}
		}
		if time.Now().After(end) {
			b.Fatalf("%s %s cannot be clicked on", selector, text)
		}
	}
}

// fill types into the field with this label.
func (b browser) fill(label, text string) {
	b.Helper()
	b.wait("field "+label, field(label), 20*time.Second)
	b.eval(field(label) + ".focus(), " + field(label) + ".select?.()")
	b.do(chromedp.KeyEvent(text))
}

// field is the field with this label, as an expression.
func field(label string) string {
	return "([...document.querySelectorAll('label')].find(l => l.innerText.startsWith(" + quoted(label) + ") && l.control.type != 'radio')?.control)"
}

// choose takes an option of the select with this label.
func (b browser) choose(label, option string) {
	b.Helper()
	b.wait("option "+option, fmt.Sprintf("[...(%s?.options || [])].some(o => o.text.includes(%s))", field(label), quoted(option)), 20*time.Second)
	b.eval(fmt.Sprintf(`(() => { const s = %s; s.value = [...s.options].find(o => o.text.includes(%s)).value;
		s.dispatchEvent(new Event("input", { bubbles: true })); s.dispatchEvent(new Event("change", { bubbles: true })); })()`, field(label), quoted(option)))
}

// size makes the page a phone or a desktop, in one of the two palettes.
func (b browser) size(width, height int64, scheme string) {
	b.Helper()
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 600})
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
	b.eval("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
}

// shot keeps a picture, where the flag asks for them.
func (b browser) shot(name string) {
	b.Helper()
	if *screenshots == "" {
		return
	}
	b.eval("document.querySelectorAll('.toast').forEach(t => t.remove()), document.activeElement.blur(), new Promise(done => setTimeout(done, 300))")
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.Fatal(err)
	}
	if err := os.MkdirAll(*screenshots, 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), png, 0o644); err != nil {
		b.Fatal(err)
	}
}

// uploads gives the file input a file.
func (b browser) uploads(name string, content []byte) {
	b.Helper()
	path := filepath.Join(b.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		b.Fatal(err)
	}
	b.do(chromedp.SetUploadFiles(chromedp.CSS("input[type=file]"), []string{path}))
}

func quoted(s string) string {
	b, _ := json.Marshal(s) // a string: cannot fail
	return string(b)
}
