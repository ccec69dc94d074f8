// Collections of feedback: what was said of answers, and data sets made of it.

import { badge, busy, button, complain, confirm, el, empty, faultList, field, meter, put, show, table, toast, unfold, unique, visit } from "./dom.js";
import { all, get, name, post, remove } from "./api.js";
import { ago, count, percent } from "./format.js";

export async function collections(place, chosen, sets) {
  const made = await all("/feedback");
  if (!made.length) {
    show(place, empty("No feedback yet", "Say in the playground whether an answer was right, or have an application tell what it learns:",
      `curl ${location.origin}/feedback -H 'Content-Type: application/json' \\\n  -d '{"collection": "mood", "row": {"text": "Worth the wait.", "label": "positive"}, "correct": false, "adapter": "mood@1"}'`));
    return;
  }
  show(place, made.map(c => {
    const inside = el("div", { class: "inside" });
    const box = el("details", { class: "series feedback" }, el("summary", {}, el("span", { class: "title" }, el("b", {}, c.name)),
      el("span", { class: "tags" }, badge(c.kind), badge(`${count(c.rows)} rows`)), el("span", { class: "figures muted" }, `begun ${ago(c.created_at)}`)), inside);
    const gone = async () => {
      await collections(place, "", sets);
      document.getElementById("main").focus();
    };
    box.addEventListener("toggle", () => { if (box.open && !inside.hasChildNodes()) describe(inside, c, sets, gone).catch(error => { show(inside); complain(error); }); });
    if (c.name === chosen) unfold(box);
    return box;
  }));
}

// describe shows what the rows of a collection say, the rows, and what can be done with them.
async function describe(place, c, sets, gone) {
  const at = `/feedback/${name(c.name)}`, rows = el("div"), sum = el("div", { class: "summary" });
  const tell = async () => show(sum, summary(await get(at)));
  const take = button("Delete the collection…", () => busy(take, async () => {
    if (!await confirm(`Delete ${c.name}?`, "Its rows go with it. Data sets that were made of it stay.", "Delete")) return;
    try {
      await remove(at);
      toast("The collection is deleted");
      await gone();
    } catch (error) {
      complain(error);
    }
  }), { class: "danger quiet" });
  show(place, el("p", { class: "muted" }, "Loading…"));
  await Promise.all([tell(), list(rows, at, tell)]); // first, as what comes later would move the buttons
  show(place, sum, rows, maker(c, at, sets), el("div", { class: "row" }, take));
}

function summary(s) {
  const told = s.answers, known = told.correct + told.wrong;
  const labels = Object.entries(s.labels || {}).sort((a, b) => b[1] - a[1]), most = labels.length ? labels[0][1] : 1;
  return [el("p", {}, el("b", {}, `${count(s.texts)} different questions in ${count(s.rows)} rows. `),
    known ? `${percent(told.correct / known)} of the ${count(known)} answers that were judged were right.` : "Nobody said whether the answers were right.", told.unknown && known ? ` Of ${count(told.unknown)} nobody said.` : ""),
  s.adapters.length ? table("Answers of each version", ["Version", "Right", "Wrong", "Not said"], s.adapters.slice(0, 12).map(a => [a.adapter, count(a.correct), count(a.wrong), count(a.unknown)])) : null,
  labels.length ? el("ol", { class: "scores", "aria-label": "Questions of each label" }, labels.slice(0, 12).map(([l, n]) => el("li", {},
    el("span", { class: "name" }, l), meter(n / most, `Questions labelled ${l}`), el("span", { class: "value" }, count(n))))) : null];
}

// list shows the rows, the newest first, a page more at a time.
async function list(place, at, changed) {
  const rows = [];
  let more = false;
  async function next() {
    const page = await get(`${at}/rows?limit=10${rows.length ? `&after=${name(rows.at(-1).id)}` : ""}`);
    rows.push(...page.data);
    more = page.has_more;
    draw();
  }
  function draw() {
    const heads = [...new Set(rows.flatMap(r => Object.keys(r.row)))];
    const further = button("Show more", () => busy(further, next).catch(complain), { class: "small" });
    show(place, table("Rows, the newest first", [...heads, "The answer", "By", "Row"], rows.map(r => [
      ...heads.map(h => h in r.row ? clip(typeof r.row[h] === "string" ? r.row[h] : JSON.stringify(r.row[h])) : ""),
      r.correct === undefined ? el("span", { class: "muted" }, "not said") : r.correct ? badge("was right", "good") : badge("was wrong", "warm"),
      r.adapter || r.model || "", forget(r)])), more ? further : null);
  }
  const forget = r => {
    const b = button("Delete…", () => busy(b, async () => {
      if (!await confirm("Delete this row?", "Data sets that were made with it keep it.", "Delete")) return;
      await remove(`${at}/rows/${name(r.id)}`);
      rows.splice(rows.indexOf(r), 1);
      toast("The row is deleted");
      draw();
      await changed();
      (place.querySelector("button") || document.getElementById("main")).focus();
    }).catch(complain), { class: "small danger quiet", "aria-label": `Delete… row ${r.id}` });
    return b;
  };
  await next();
}

// maker makes a data set of a collection.
function maker(c, at, sets) {
  const errors = el("div"), others = sets.filter(s => s.kind === c.kind);
  const base = el("select", {}, el("option", { value: "" }, "nothing else"), others.map(s => el("option", { value: s.id }, `${s.name || s.id} · ${count(s.rows)} rows`)));
  const title = el("input", { id: unique("name"), maxlength: 200, placeholder: `${c.name} (feedback)` }), clear = el("input", { type: "checkbox" });
  const go = el("button", { type: "submit", class: "primary" }, "Make a data set");
  const form = el("form", { onsubmit: e => {
    e.preventDefault();
    show(errors);
    busy(go, async () => {
      try {
        const d = await post(`${at}/datasets`, { ...(base.value ? { with: base.value } : {}), ...(title.value.trim() ? { name: title.value.trim() } : {}), ...(clear.checked ? { clear: true } : {}) });
        toast(`${d.name} has ${count(d.rows)} rows`);
        visit(`#/datasets/${name(d.id)}`);
      } catch (error) {
        if (error.problem && error.problem.status === 422) show(errors, el("div", { class: "panel bad", role: "alert" }, faultList(error.problem.errors)));
        else complain(error);
      }
    });
  } });
  return put(form, el("div", { class: "fields" }, field("Together with the rows of", base), field("Name of the data set", title)),
    el("label", { class: "check" }, clear, "Take the rows out of the collection, which begins anew"), errors,
    el("div", { class: "row" }, go, el("span", { class: "muted" }, "Where several rows ask the same, the latest counts.")));
}

const clip = text => text.length > 240 ? `${text.slice(0, 240)}…` : text;
