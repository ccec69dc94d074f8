package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// judgeThere says with the keyboard alone that one answer was right and another wrong, and
// thinks again.
func judgeThere(b browser, c client) {
	b.visit("playground", "Playground")
	b.eval("[...document.querySelectorAll('.chip')].forEach(l => { if (l.control.checked != ['mine', 'yours'].includes(l.control.value)) l.control.click(); })")
	b.fill("Text", "The soup was "+hostile)
	b.click("button", "Compare")
	b.wait("two answers", "document.querySelectorAll('.results .card:not([aria-busy]) .judge').length == 2", 20*time.Second)
	given := b.eval("[...document.querySelectorAll('.results .verdict')].map(e => e.innerText).join()").(string)
	said := strings.Split(given, ",")

	press := func(label, key string) {
		b.Helper()
		b.wait(label, "document.querySelector("+quoted(fmt.Sprintf("[aria-label=%q]", label))+")", 5*time.Second)
		b.eval("document.querySelector(" + quoted(fmt.Sprintf("[aria-label=%q]", label)) + ").focus()")
		b.do(chromedp.KeyEvent(key))
	}
	press("Right, answer of mine", kb.Enter)
	b.sees("Said to be right, kept in mine")
	if at := focused(b); !strings.Contains(at, "Right") {
		b.Errorf("the focus is at %s", at)
	}
	press("Wrong…, answer of yours", " ")
	b.wait("the form", "document.activeElement.closest('.judge form') && document.activeElement.selectionEnd > 0", 5*time.Second)
	b.do(chromedp.KeyEvent(kb.Escape))
	b.wait("the focus where it was", "document.activeElement.getAttribute('aria-label') == 'Wrong…, answer of yours' && document.activeElement.getAttribute('aria-expanded') == 'false'", 5*time.Second)
	press("Wrong…, answer of yours", kb.Enter)
	if proposed := b.eval("document.activeElement.value"); proposed == said[1] || !strings.Contains("xyz", proposed.(string)) {
		b.Errorf("%v is proposed instead of %s", proposed, said[1])
	}
	b.do(chromedp.KeyEvent(hostile))
	b.do(chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent("mine"), chromedp.KeyEvent(kb.Enter))
	b.sees("Corrected, kept in mine")
	b.wait("the focus where it was", "document.activeElement.getAttribute('aria-label') == 'Wrong…, answer of yours'", 5*time.Second)
	rows := func() []any { return c.call(200, "GET", "/feedback/mine/rows", nil)["data"].([]any) }
	if all := rows(); len(all) != 2 || all[0].(map[string]any)["row"].(map[string]any)["label"] != hostile || all[0].(map[string]any)["correct"] != false || all[0].(map[string]any)["adapter"] != "yours@1" ||
		all[1].(map[string]any)["row"].(map[string]any)["label"] != said[0] || all[1].(map[string]any)["correct"] != true || all[1].(map[string]any)["request_id"] == nil {
		b.Errorf("the answers are %s, the feedback is %v", given, all)
	}
	// It was right after all: the row that said otherwise goes.
	press("Right, answer of yours", kb.Enter)
	b.wait("it to be said", "[...document.querySelectorAll('.judge')].every(e => e.innerText.includes('Said to be right'))", 10*time.Second)
	if all := rows(); len(all) != 2 || all[0].(map[string]any)["correct"] != true {
		b.Errorf("the feedback is %v", all)
	}
	// What a collection cannot take is said at its form, where another can be named.
	b.eval(field("Text") + ".value = 'soup '.repeat(4000), " + field("Text") + ".dispatchEvent(new Event('input'))")
	b.eval("document.querySelectorAll('.chip').forEach(l => { if (l.control.checked != (l.control.value == 'mine')) l.control.click(); })")
	b.click("button", "Compare")
	b.wait("an answer", "document.querySelectorAll('.results .card:not([aria-busy]) .judge').length == 1", 20*time.Second)
	b.expect("422")
	press("Right, answer of mine", kb.Enter)
	b.wait("the fault", "document.querySelector('.judge [role=alert]')?.innerText.includes('row')", 10*time.Second)
}

// collectThere looks at a collection and makes a data set of it.
func collectThere(b browser, c client) {
	for i, label := range []string{"x", "y", "z", "x", "y", "z", "x", "y", "z", "x"} {
		c.call(201, "POST", "/feedback", map[string]any{"collection": "mine", "row": map[string]any{"text": fmt.Sprint("text ", i), "label": label}, "adapter": "yours@1"})
	}
	b.visit("datasets", "Data")
	b.click(".feedback summary", "mine")
	b.sees("11 different questions in 12 rows.")
	b.sees("100 % of the 2 answers that were judged were right. Of 10 nobody said.")
	b.wait("ten rows", "document.querySelectorAll('.feedback[open] table:last-of-type tbody tr').length >= 10", 5*time.Second)
	b.click(".feedback button", "Show more")
	b.wait("twelve rows", "[...document.querySelectorAll('.feedback[open] button')].filter(e => e.innerText == 'Delete…').length == 12", 5*time.Second)
	b.click(".feedback button", "Delete…") // the newest
	b.click("dialog button", "Delete")
	b.sees("11 rows")
	if rows := c.call(200, "GET", "/feedback/mine", nil)["rows"]; rows != 11.0 {
		b.Errorf("%v rows are left", rows)
	}
	set := c.upload(201, "/datasets?name=before.csv", nil, map[string][]byte{"file": []byte("text,label\ntext 0,y\nother,z\nmore,x\n")})["id"].(string)
	b.do(chromedp.Reload())
	b.visit("datasets/feedback/mine", "Data")
	b.wait("the collection, open", "document.querySelector('.feedback[open] form')", 10*time.Second)
	b.choose("Together with the rows of", "3 rows")
	b.fill("Name of the data set", "corrected")
	b.click(".feedback .check", "Take the rows out")
	b.click(".feedback button", "Make a data set")
	b.wait("the data set, open", "[...document.querySelectorAll('.series[open] .title')].some(e => e.innerText.includes('corrected'))", 10*time.Second)
	b.sees("Made of feedback in mine")
	b.sees("where 1 gave way")
	for _, d := range c.call(200, "GET", "/datasets", nil)["data"].([]any) {
		if d := d.(map[string]any); d["name"] == "corrected" && d["feedback"].(map[string]any)["with"] == set {
			if n := c.call(200, "GET", "/feedback/mine", nil)["rows"]; n != 0.0 {
				b.Errorf("%v rows are left in the collection", n)
			}
			return
		}
	}
	b.Error("there is no such data set")
}

// forgetThere deletes a collection.
func forgetThere(b browser, c client) {
	b.visit("datasets/feedback/mine", "Data")
	b.click("button", "Delete the collection")
	b.click("dialog button", "Keep it")
	c.call(200, "GET", "/feedback/mine", nil)
	b.click("button", "Delete the collection")
	b.click("dialog button", "Delete")
	b.sees("The collection is deleted")
	b.wait("the other collection alone", "[...document.querySelectorAll('.feedback .title')].map(e => e.innerText).join() == 'reviews' && document.activeElement.id == 'main'", 10*time.Second)
	c.call(404, "GET", "/feedback/mine", nil)
}

// deleteJobThere deletes a job that is over, with the keyboard.
func deleteJobThere(b browser, c client, job string) {
	name := c.call(200, "GET", "/tune/jobs/"+job, nil)["name"].(string)
	b.visit("jobs/"+job, name)
	there := "[...document.querySelectorAll('.toolbar button')].find(e => e.innerText == 'Delete…')"
	for _, answer := range []struct{ keys, sees string }{{kb.Escape, name}, {kb.Tab + kb.Enter, "The job is deleted"}} {
		b.wait("the button", there, 10*time.Second)
		b.eval(there + ".focus()")
		b.do(chromedp.KeyEvent(kb.Enter))
		b.wait("the question", "document.querySelector('dialog[open]')?.contains(document.activeElement)", 5*time.Second)
		if at := focused(b); !strings.Contains(at, "Keep it") {
			b.Errorf("the dialog begins at %s", at)
		}
		for _, key := range answer.keys {
			b.do(chromedp.KeyEvent(string(key)))
		}
		b.wait("no dialog", "!document.querySelector('dialog')", 5*time.Second)
		b.sees(answer.sees)
	}
	b.wait("the other jobs", "document.querySelector('main h1').innerText == 'Jobs' && document.querySelector('main table') && document.activeElement.id == 'main'", 10*time.Second)
	if b.eval("document.body.innerHTML.includes("+quoted(job)+")") == true {
		b.Error("the job is still listed")
	}
	c.call(404, "GET", "/tune/jobs/"+job, nil)
}
