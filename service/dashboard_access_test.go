package main

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// focused describes what has the focus, and fails where that cannot be seen.
func focused(b browser) string {
	b.Helper()
	f := b.eval(`(() => { const e = document.activeElement, s = getComputedStyle(e), l = e.closest(".chip, .segments label, .drop");
		const seen = x => { const s = getComputedStyle(x); return s.outlineStyle != "none" && parseFloat(s.outlineWidth) >= 2; };
		return { what: e.tagName + " " + (e.innerText || e.getAttribute("aria-label") || e.name || e.value || e.id).slice(0, 40), seen: e == document.body || seen(e) || Boolean(l && seen(l)) }; })()`).(map[string]any)
	if f["seen"] != true {
		b.Errorf("the focus on %v cannot be seen", f["what"])
	}
	return f["what"].(string)
}

// keyboard goes through every section with Tab alone, and works a dialog.
func keyboard(b browser) {
	b.visit("jobs", "Jobs")
	b.do(chromedp.Reload())
	b.sees("sentiment")
	b.do(chromedp.KeyEvent(kb.Tab))
	if at := focused(b); !strings.Contains(at, "Skip to the content") {
		b.Errorf("the first stop is %s", at)
	}
	b.do(chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Tab))
	if at := focused(b); !strings.Contains(at, "Models") {
		b.Errorf("the fourth stop is %s", at)
	}
	b.do(chromedp.KeyEvent(kb.Enter))
	b.wait("the models", "document.querySelector('main h1')?.innerText == 'Models'", 10*time.Second)
	for _, s := range sections {
		b.visit(s.at, s.heading)
		b.wait("rest", "!document.querySelector('[aria-busy]')", 5*time.Second)
		b.eval("document.querySelector('.skip').focus()")
		stops := map[string]bool{}
		inMain, around := false, false
		for range 90 {
			b.do(chromedp.KeyEvent(kb.Tab))
			at := focused(b)
			stops[at] = true
			inMain = inMain || b.eval("document.querySelector('main').contains(document.activeElement)") == true
			if at == "BODY "+at[min(5, len(at)):] || strings.Contains(at, "Skip to the content") {
				around = true
				break
			}
		}
		if !around || !inMain && s.at != "system" {
			b.Errorf("%s: Tab does not come around: %v, in the content %v", s.at, around, inMain)
		}
	}
	// A dialog keeps the focus in itself, and Escape is no.
	b.visit("models", "Models")
	b.wait("the list", "document.querySelectorAll('.series summary').length == 3", 10*time.Second)
	b.eval("document.querySelector('.series summary').focus()")
	b.do(chromedp.KeyEvent(" "))
	b.sees("Delete all versions")
	b.eval("[...document.querySelectorAll('button')].find(e => e.innerText.startsWith('Delete all')).focus()")
	b.do(chromedp.KeyEvent(kb.Enter))
	b.wait("the dialog", "document.querySelector('dialog[open]')?.contains(document.activeElement)", 5*time.Second)
	if at := focused(b); !strings.Contains(at, "Keep it") {
		b.Errorf("the dialog begins at %s", at)
	}
	for range 3 {
		b.do(chromedp.KeyEvent(kb.Tab))
		if b.eval("document.activeElement == document.body || document.querySelector('dialog').contains(document.activeElement)") != true {
			b.Errorf("the focus leaves the dialog for %s", focused(b))
		}
	}
	b.do(chromedp.KeyEvent(kb.Escape))
	b.wait("the focus where it was", "!document.querySelector('dialog') && document.activeElement.innerText.startsWith('Delete all')", 5*time.Second)
}

// unfold visits a section and opens all that can be opened there.
func unfold(b browser, s section) {
	b.visit(s.at, s.heading)
	for _, step := range []string{"0", s.then, "0"} {
		if step == "" {
			continue
		}
		b.eval(step)
		b.wait("rest", "!document.querySelector('[aria-busy]')", 5*time.Second)
		b.eval("document.querySelectorAll('details').forEach(d => { d.open = true; })")
		b.eval("new Promise(done => setTimeout(done, 250))")
	}
}

// phone looks for what is wider than the screen.
func phone(b browser, sections []section) {
	b.size(360, 740, "dark")
	defer b.size(1280, 900, "light")
	for _, s := range sections {
		unfold(b, s)
		wide := b.eval(`[...document.querySelectorAll("body *")].filter(e => { const r = e.getBoundingClientRect(), s = getComputedStyle(e);
			return (r.right > innerWidth + 0.5 || r.left < -0.5) && r.width > 1 && s.position != "absolute" && e.offsetParent; }).map(e => e.tagName + "." + e.getAttribute("class") + " " + e.textContent.slice(0, 40)).slice(0, 5)`)
		if width := b.eval("document.documentElement.scrollWidth").(float64); width > 360 || len(wide.([]any)) > 0 {
			b.Errorf("%s is %v wide on a phone: %v", s.at, width, wide)
		}
		small := b.eval(`[...document.querySelectorAll("button, .action, nav a, summary")].filter(e => e.offsetParent && e.getBoundingClientRect().height < 20).map(e => e.innerText)`)
		if len(small.([]any)) > 0 {
			b.Errorf("%s: too small for a finger: %v", s.at, small)
		}
	}
}

// axeVersion is of the checker of https://github.com/dequelabs/axe-core, which .ci/run
// puts into the cache; it is no part of this project.
const axeVersion = "4.14.1"

func accessible(b browser, sections []section) {
	cache, err := os.UserCacheDir()
	if err != nil {
		b.Skip("no cache folder")
	}
	path := filepath.Join(cache, "lorikeet", "ci", "axe-core-"+axeVersion, "axe.min.js")
	axe, err := os.ReadFile(path)
	if err != nil {
		b.Skip("missing axe-core " + axeVersion + " (see .ci/run)")
	}
	call(b, page.SetBypassCSP, page.SetBypassCSPParams{Enabled: true}) // it builds HTML of its own
	b.do(chromedp.Reload())
	for scheme, rules := range map[string]string{"light": `["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]`, "dark": `{ type: "rule", values: ["color-contrast"] }`} {
		b.size(1280, 900, scheme) // the palettes differ in colours alone
		for _, s := range sections {
			unfold(b, s)
			b.eval(string(axe) + "; 1")
			found := b.eval(`axe.run(document, { runOnly: ` + rules + ` }).then(r =>
				r.violations.flatMap(v => v.nodes.map(n => v.id + ": " + n.html.slice(0, 160) + " " + n.failureSummary)))`).([]any)
			for _, f := range found {
				b.Errorf("%s, %s: %v", s.at, scheme, f)
			}
		}
	}
	b.size(1280, 900, "light")
	call(b, page.SetBypassCSP, page.SetBypassCSPParams{})
	b.do(chromedp.Reload())
}
