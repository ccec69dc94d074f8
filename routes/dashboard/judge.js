// Whether an answer of the playground was right, and what would have been: kept as feedback.

import { busy, button, complain, el, faultList, field, link, show, unique } from "./dom.js";
import { name, post, remove } from "./api.js";

// Collections that were named instead of the usual one, by that one.
const named = new Map();

// judge lets one say what an answer was worth. a tells of the answer: the card whose it is,
// the model, the adapter and the request, what was given (null: it abstained), and row, which
// makes a row of a data set of the right answer. labels are what could have been said, a
// number asks for a number, and otherwise the right answer is a text.
export function judge(a) {
  const usual = (a.adapter || a.model).split("@")[0], collection = () => named.get(usual) || usual;
  const said = el("p", { class: "muted", role: "status" }), form = el("form", { hidden: true });
  let kept = null; // the row that tells of this answer so far

  // keep sends what is right. Whoever thinks again replaces what was said.
  async function keep(answer) {
    const correct = a.given === null ? {} : { correct: answer === a.given };
    const row = await post("/feedback", { collection: collection(), row: a.row(answer), ...correct, model: a.model,
      ...(a.adapter ? { adapter: a.adapter } : {}), ...(a.request ? { request_id: a.request } : {}) });
    const at = `/feedback/${name(collection())}/rows/${name(row.id)}`;
    if (kept) await remove(kept).catch(() => {}); // a key of scope predict may not: then the later row counts
    kept = at;
    show(said, a.given === null || !correct.correct ? "Corrected" : "Said to be right", ", kept in ", link(collection(), `#/datasets/feedback/${name(collection())}`));
    close();
  }

  const about = `, answer of ${a.who}`;
  const right = a.given === null ? null : button("Right", () => busy(right, () => keep(a.given).catch(ask)).then(() => { if (form.hidden) right.focus(); }), { class: "small", "aria-label": `Right${about}` });
  const wrong = button(a.given === null ? "Say what is right…" : "Wrong…", () => form.hidden ? ask() : close(), { class: "small", "aria-label": `${a.given === null ? "Say what is right" : "Wrong"}…${about}`, "aria-expanded": "false" });
  form.id = unique("judge");
  wrong.setAttribute("aria-controls", form.id);

  function close() {
    form.hidden = true;
    wrong.setAttribute("aria-expanded", "false");
    if (form.contains(document.activeElement) || document.activeElement === document.body) wrong.focus();
  }

  // ask shows the form, after a refusal with the faults in it.
  function ask(error) {
    if (error && (!error.problem || error.problem.status !== 422)) return complain(error);
    const errors = el("div", {}, error ? faults(error) : null);
    const [answer, help] = input(a), where = el("input", { value: collection(), autocomplete: "off", spellcheck: "false", maxlength: 64 });
    const go = el("button", { type: "submit", class: "primary small" }, "Keep it");
    show(form, field(a.labels ? "The right label" : a.number ? "The right value" : "The right answer", answer, help), field("Collection of feedback", where), errors,
      el("div", { class: "row" }, go, button("Cancel", close, { class: "small" })));
    form.onsubmit = e => {
      e.preventDefault();
      show(errors);
      named.set(usual, where.value.trim() || usual);
      busy(go, () => keep(a.number ? Number(answer.value) : answer.value)).catch(error => {
        if (error.problem && error.problem.status === 422) show(errors, faults(error));
        else complain(error);
        if (document.activeElement === document.body) go.focus();
      });
    };
    form.hidden = false;
    wrong.setAttribute("aria-expanded", "true");
    answer.focus();
    if (answer.select) answer.select();
  }
  form.addEventListener("keydown", e => { if (e.key === "Escape") close(); });

  return el("div", { class: "judge" }, el("div", { class: "row" }, right, wrong, said), form);
}

const faults = error => el("div", { class: "panel bad", role: "alert" }, faultList(error.problem.errors));

// input is where the right answer is written. A label may be one that the model lacks.
function input(a) {
  if (!a.labels && !a.number) return [el("textarea", { rows: 3, spellcheck: "false", required: true, value: a.given || "" })];
  if (a.number) return [el("input", { type: "number", step: "any", required: true, value: a.given === null ? "" : a.given })];
  const known = el("datalist", { id: unique("labels") }, a.labels.map(l => el("option", { value: l })));
  // The likeliest that was not said: with two labels that is the right one.
  const next = a.labels.find(l => l !== a.given);
  return [el("input", { list: known.id, required: true, autocomplete: "off", spellcheck: "false", value: next || a.given || "" }), known];
}
