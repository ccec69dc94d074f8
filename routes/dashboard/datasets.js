// Data sets: upload with a report, a list, and a look at their rows; and the feedback that more are made of.

import { badge, busy, button, complain, confirm, el, empty, faultList, field, link, meter, show, table, toast, unfold, unique } from "./dom.js";
import { all, get, name, remove, save, upload } from "./api.js";
import { ago, bytes, count } from "./format.js";
import { doctor } from "./doctor.js";
import { collections } from "./feedback.js";

export default async function datasets(root, [chosen, collection], signal) {
  const report = el("div", { class: "report", "aria-live": "polite" }), list = el("div"), feedback = el("div");
  show(root, el("h1", {}, "Data"), el("p", { class: "lead" }, "CSV, TSV, JSON lines, JSON or Parquet. Columns, encoding and delimiter are found out; a bad file is refused whole, with the line of every mistake."),
    uploader(report, () => fill(list).catch(complain), signal), report, el("h2", {}, "Uploaded"), list,
    el("h2", {}, "Feedback"), el("p", { class: "lead" }, "What was learnt of answers, with the right ones. It is trained on once it is made into a data set."), feedback);
  const sets = await fill(list, chosen);
  await collections(feedback, collection, sets);
}

async function fill(list, chosen) {
  const sets = await all("/datasets");
  if (!sets.length) {
    show(list, empty("No data yet", "Drop a file above, or send one:", `curl ${location.origin}/datasets -F file=@reviews.csv`,
      el("p", { class: "muted" }, "Rows are {text, label} for classifiers; {instruction, input, output}, {messages}, {prompt, completion} or {source, target} for bases that write.")));
    return sets;
  }
  show(list, sets.map(d => {
    const rows = el("div", { class: "inside" });
    const box = el("details", { class: "series" }, el("summary", {},
      el("span", { class: "title" }, el("b", {}, d.name || d.id)), el("span", { class: "tags" }, badge(d.kind), badge(`${count(d.rows)} rows`), d.warnings.length ? badge(`${d.warnings.length} warnings`, "warm") : null),
      el("span", { class: "figures muted" }, `${bytes(d.bytes)} · ${ago(d.created_at)}`)), rows);
    box.addEventListener("toggle", () => { if (box.open && !rows.hasChildNodes()) describe(rows, d, () => box.remove(), sets).catch(complain); });
    if (d.id === chosen) unfold(box);
    return box;
  }));
  return sets;
}

function uploader(report, done, signal) {
  const file = el("input", { type: "file", id: unique("file"), class: "hidden-input", accept: ".csv,.tsv,.txt,.json,.jsonl,.ndjson,.parquet,text/csv,application/json", onchange: () => { if (file.files[0]) take(file.files[0]); } });
  const drop = el("div", { class: "drop" }, file, el("label", { for: file.id }, el("b", {}, "Choose a file"), " or drop it here"));
  const title = el("input", { id: unique("name"), maxlength: 200, placeholder: "the file's own" });
  const format = el("select", { id: unique("format") }, ["auto", "csv", "jsonl", "json", "parquet"].map(f => el("option", {}, f)));
  const columns = el("input", { id: unique("columns"), spellcheck: "false", placeholder: '{"text": "review", "label": "stars"}' });
  const sample = el("input", { id: unique("sample"), type: "number", min: 0, placeholder: "all rows" });
  let depth = 0; // dragenter and dragleave also come from what is inside
  drop.addEventListener("dragenter", e => { e.preventDefault(); depth++; drop.classList.add("over"); });
  drop.addEventListener("dragover", e => e.preventDefault());
  drop.addEventListener("dragleave", () => { if (--depth <= 0) { depth = 0; drop.classList.remove("over"); } });
  drop.addEventListener("drop", e => {
    e.preventDefault();
    depth = 0;
    drop.classList.remove("over");
    if (e.dataTransfer.files[0]) take(e.dataTransfer.files[0]);
  });

  let current = new AbortController();
  signal.addEventListener("abort", () => current.abort());
  async function take(f) {
    current.abort();
    current = new AbortController();
    const mine = current;
    const query = new URLSearchParams({ name: title.value.trim() || f.name, format: format.value });
    if (columns.value.trim()) query.set("columns", columns.value.trim());
    if (sample.value) query.set("sample", sample.value);
    const bar = el("div"), progress = share => show(bar, meter(share, "Uploaded"), el("span", { class: "muted" }, share < 1 ? `${Math.round(share * 100)} % of ${bytes(f.size)}` : "checking the last rows"));
    progress(0);
    show(report, el("section", { class: "panel" }, el("h2", {}, f.name), bar, button("Stop", () => mine.abort(), { class: "quiet small" })));
    try {
      const d = await upload(`/datasets?${query}`, f, progress, mine.signal);
      const inside = el("div");
      show(report, el("section", { class: "panel good" }, el("h2", {}, d.name || f.name, " ", badge(d.kind, "good")), inside));
      await describe(inside, d, () => show(report), await all("/datasets").catch(() => []));
      done();
    } catch (error) {
      if (error.name === "AbortError") {
        if (mine === current) show(report, el("p", { class: "muted" }, "Stopped; nothing was stored."));
      } else if (error.problem && error.problem.errors.length) {
        show(report, el("section", { class: "panel bad", role: "alert" }, el("h2", {}, `${f.name} is refused`),
          el("p", {}, "Nothing was stored. Mend the lines below and upload it again."), faultList(error.problem.errors)));
      } else {
        show(report);
        complain(error, "Not uploaded");
      }
    } finally {
      file.value = ""; // the same file can be chosen again
    }
  }
  return el("section", { class: "panel" }, drop, el("details", {}, el("summary", {}, "How it is read"), el("div", { class: "fields" },
    field("Name", title), field("Format", format), field("Columns, as JSON", columns), field("Rows to draw at random", sample))));
}

// describe shows the report of a data set, its first rows, and what can be done with it.
async function describe(place, d, gone, sets) {
  const labels = Object.entries(d.labels || {}).sort((a, b) => b[1] - a[1]);
  const most = labels.length ? labels[0][1] : 1;
  const rows = el("div"), title = d.name || d.id;
  const take = button("Delete…", () => busy(take, async () => {
    if (!await confirm(`Delete ${title}?`, "Jobs that were given it keep their rows.", "Delete")) return;
    try {
      await remove(`/datasets/${name(d.id)}`);
      toast("The data set is deleted");
      gone();
      document.getElementById("main").focus();
    } catch (error) {
      complain(error);
    }
  }), { class: "danger quiet" });
  show(place, el("p", { class: "muted" }, el("code", {}, d.id), ` · ${count(d.rows)} rows · ${bytes(d.bytes)} of ${d.format}`, d.columns.length ? ` · columns ${d.columns.join(", ")}` : ""),
    d.quarantine ? leftOut(d) : null, d.feedback ? learnt(d) : null,
    d.warnings.length ? el("ul", { class: "warnings", "aria-label": "Warnings" }, d.warnings.map(w => el("li", {}, w))) : null,
    labels.length ? el("ol", { class: "scores", "aria-label": "Rows of each label" }, labels.slice(0, 12).map(([l, n]) => el("li", {},
      el("span", { class: "name" }, l), meter(n / most, `Rows labelled ${l}`), el("span", { class: "value" }, count(n))))) : null,
    labels.length > 12 ? el("p", { class: "muted" }, `and ${labels.length - 12} more labels`) : null,
    rows, doctor(d, sets), el("div", { class: "row" }, link("Tune on it", `#/tune?dataset=${name(d.id)}`, { class: "action" }), take));
  const p = await get(`/datasets/${name(d.id)}/preview?limit=5`);
  if (!p.rows.length) return;
  const heads = [...new Set(p.rows.flatMap(r => Object.keys(r)))];
  show(rows, table("First rows", heads, p.rows.map(r => heads.map(h => clip(h in r ? typeof r[h] === "string" ? r[h] : JSON.stringify(r[h]) : "")))));
}

// leftOut tells what a cleaned data set was made of, and gives out what it lacks.
function leftOut(d) {
  const q = d.quarantine;
  return el("p", {}, "Cleaned from ", link(d.cleaned_from, `#/datasets/${name(d.cleaned_from)}`), `: ${count(q.rows)} rows are left out (${Object.entries(q.reasons).map(([k, n]) => `${k.replaceAll("_", " ")} ${n}`).join(", ")}). `,
    button("Download them", () => save(`/datasets/${name(d.id)}/quarantine`, `${d.id}-quarantine.jsonl`).catch(complain), { class: "small" }));
}

// learnt tells what feedback a data set was made of.
function learnt(d) {
  const f = d.feedback;
  return el("p", {}, "Made of feedback in ", link(f.collection, `#/datasets/feedback/${name(f.collection)}`), `: ${count(f.rows)} rows`, f.overruled ? `, ${count(f.overruled)} earlier ones overruled` : "",
    f.with ? ["; with ", link(f.with, `#/datasets/${name(f.with)}`), `, where ${count(f.replaced)} gave way`] : "", ".");
}

const clip = text => text.length > 240 ? `${text.slice(0, 240)}…` : text;
