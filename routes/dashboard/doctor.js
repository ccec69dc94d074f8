// What is the matter with the rows of a data set, and a data set without those.

import { badge, busy, button, complain, el, faultList, field, put, show, table, toast, unique, visit } from "./dom.js";
import { get, name, post } from "./api.js";
import { count } from "./format.js";

// Ailments are those of rows, which can be left out; cures are left out unless told
// otherwise. A test compares both with the service's own.
export const ailments = ["duplicate", "normalised", "near_duplicate", "contradiction", "leakage", "empty", "encoding", "length"];
export const cures = ["duplicate", "normalised", "contradiction", "leakage", "empty", "encoding"];

const words = { duplicate: "twice, letter by letter", normalised: "twice, but for case and punctuation", near_duplicate: "nearly twice", contradiction: "the same text with another answer",
  leakage: "among the validation rows", empty: "nothing to read or to answer", encoding: "damaged characters", length: "far longer than the others", imbalance: "uneven labels", rare_label: "labels with few rows" };

export function doctor(d, sets) {
  const report = el("div", { class: "inside", "aria-live": "polite" });
  const others = sets.filter(s => s.kind === d.kind && s.id !== d.id);
  const validation = el("select", {}, el("option", { value: "" }, "none"), others.map(s => el("option", { value: s.id }, `${s.name || s.id} · ${count(s.rows)} rows`)));
  const go = button("Examine the rows", () => busy(go, async () => {
    const held = validation.value;
    try {
      const e = await get(`/datasets/${name(d.id)}/doctor${held ? `?validation=${name(held)}` : ""}`);
      show(report, found(d, e, held));
    } catch (error) {
      complain(error);
    }
  }));
  return el("section", { class: "doctor", "aria-label": `Doctor of ${d.name || d.id}` },
    el("div", { class: "row end-to-end" }, others.length ? field("Validation rows, which must not be among these", validation) : null, go), report);
}

function found(d, e, held) {
  const told = el("p", {}, el("b", {}, `${count(e.sound_rows)} of ${count(e.rows)} rows have nothing the matter.`), e.unread ? ` ${count(e.unread)} more were not looked through.` : "");
  if (!e.findings.length) return told;
  return [told, e.findings.map(finding), e.sound_rows < e.rows ? cleaner(d, e, held) : null];
}

const shown = 10; // examples of an ailment

function finding(f) {
  const about = f.examples.some(t => t.detail), other = f.examples.some(t => t.of), row = f.examples.some(t => t.row);
  const heads = [row ? "Row" : null, other ? "The same as" : null, about ? "What" : null].filter(Boolean);
  return el("details", { class: "finding" },
    el("summary", {}, badge(count(f.count), ailments.includes(f.kind) ? "warm" : "live"), " ", words[f.kind] || f.kind, el("span", { class: "muted" }, ` · ${f.advice}`)),
    table(`Examples: ${words[f.kind] || f.kind}`, heads, f.examples.slice(0, shown).map(t => [row ? t.row : null, other ? t.of || "–" : null, about ? t.detail || "" : null].filter(c => c !== null))),
    f.count > shown ? el("p", { class: "muted" }, `and ${count(f.count - shown)} more`) : null);
}

function cleaner(d, e, held) {
  const has = e.findings.filter(f => ailments.includes(f.kind)), errors = el("div");
  const boxes = has.map(f => el("input", { type: "checkbox", value: f.kind, checked: cures.includes(f.kind) }));
  const title = el("input", { id: unique("name"), maxlength: 200, placeholder: `${d.name || d.id} (cleaned)` });
  const go = el("button", { type: "submit", class: "primary" }, "Make a cleaned data set");
  const form = el("form", { onsubmit: event => {
    event.preventDefault();
    show(errors);
    busy(go, async () => {
      try {
        const made = await post(`/datasets/${name(d.id)}/clean`, { drop: boxes.filter(b => b.checked).map(b => b.value), ...(held ? { validation: held } : {}), ...(title.value.trim() ? { name: title.value.trim() } : {}) });
        if (made.id === d.id) return toast("There is nothing to leave out");
        toast(`${made.name} has ${count(made.rows)} rows`);
        visit(`#/datasets/${name(made.id)}`);
      } catch (error) {
        if (error.problem && error.problem.status === 422) show(errors, el("div", { class: "panel bad", role: "alert" }, faultList(error.problem.errors)));
        else complain(error);
      }
    });
  } });
  return put(form, el("fieldset", {}, el("legend", {}, "Leave out rows that are"),
    el("div", { class: "chips" }, has.map((f, i) => el("label", { class: "chip" }, boxes[i], el("span", {}, words[f.kind] || f.kind))))),
  field("Name of the new data set", title), errors, el("div", { class: "row" }, go, el("span", { class: "muted" }, "This one stays as it is; what is left out can be downloaded.")));
}
