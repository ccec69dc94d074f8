// The form for a tune. The plan of a dry run comes first; then it can be started.

import { badge, busy, button, complain, el, empty, faultList, link, pair, show, toast, unique } from "./dom.js";
import { all, get, post } from "./api.js";
import { bytes, count, duration } from "./format.js";

const whole = f => f.kind === "full" || f.kind === "instruction" && f.method === "full";
const instruction = f => f.kind === "instruction";
const number = (attributes = {}) => ({ type: "number", step: "any", ...attributes });

// The options of a tune by their names in the API. `standard` is what the service takes
// when nothing is given: a test compares it with the service's own. `when` says for which
// tunes there is such an option.
export const options = [
  { at: "hyperparameters.epochs", label: "Epochs", standard: 3, ...number({ min: 0 }) },
  { at: "hyperparameters.learning_rate", label: "Learning rate", standard: f => whole(f) ? 5e-5 : 1e-3, ...number({ min: 0 }) },
  { at: "hyperparameters.batch_size", label: "Batch size", standard: 16, ...number({ min: 1, step: 1 }) },
  { at: "validation.split", label: "Held back for evaluation", hint: "a share, 0.1", ...number({ min: 0, max: 1 }) },
  { at: "lora.r", label: "Rank (r)", standard: 8, when: f => !whole(f), ...number({ min: 1, step: 1 }) },
  { at: "lora.alpha", label: "Alpha", standard: 16, when: f => !whole(f), ...number({ min: 0 }) },
  { at: "hyperparameters.max_steps", label: "At most so many steps", standard: 0, more: true, ...number({ min: 0, step: 1 }) },
  { at: "hyperparameters.gradient_accumulation", label: "Gradient accumulation", standard: 1, more: true, ...number({ min: 1, step: 1 }) },
  { at: "hyperparameters.schedule", label: "Schedule", standard: "linear", more: true, choices: ["linear", "cosine", "constant"] },
  { at: "hyperparameters.warmup_ratio", label: "Warm-up, share of the steps", standard: 0, more: true, ...number({ min: 0, max: 1 }) },
  { at: "hyperparameters.weight_decay", label: "Weight decay", standard: 0.01, more: true, ...number({ min: 0, max: 1 }) },
  { at: "hyperparameters.max_grad_norm", label: "Gradient norm is clipped at", standard: 1, more: true, ...number({ min: 0 }) },
  { at: "hyperparameters.max_length", label: "Longest text, tokens", standard: f => instruction(f) ? 256 : 128, more: true, ...number({ min: 4, step: 1 }) },
  { at: "hyperparameters.max_target_length", label: "Longest answer, tokens", standard: 128, more: true, when: instruction, ...number({ min: 2, step: 1 }) },
  { at: "hyperparameters.dropout", label: "Dropout", hint: "the base's own", more: true, ...number({ min: 0, max: 1 }) },
  { at: "hyperparameters.seed", label: "Seed", standard: 42, more: true, ...number({ step: 1 }) },
  { at: "lora.dropout", label: "LoRA dropout", standard: 0, more: true, when: f => !whole(f), ...number({ min: 0, max: 1 }) },
  { at: "lora.target_modules", label: "LoRA target modules", hint: "the base's own; all-linear", more: true, when: f => !whole(f), read: targets },
  { at: "early_stopping.patience", label: "Stop after so many evaluations without gain", hint: "never", more: true, ...number({ min: 1, step: 1 }) },
  { at: "promote.if", label: "Gate: becomes current only if better in", hint: "always becomes current", more: true, suggest: ["eval_accuracy", "eval_f1_macro", "eval_loss", "eval_pearson", "eval_token_accuracy", "eval_rougeL", "eval_bleu", "eval_exact_match"] },
  { at: "promote.than", label: "Gate: better than", more: true, choices: ["", "base"], none: "the current version" },
  { at: "promote.min_delta", label: "Gate: better by more than", hint: "0", more: true, ...number() },
  { at: "evaluate.every_steps", label: "Evaluate every so many steps", hint: "once an epoch", more: true, ...number({ min: 0, step: 1 }) },
  { at: "checkpoint_every_steps", label: "Checkpoint every so many steps", hint: "as time goes by", more: true, ...number({ min: 0, step: 1 }) },
  { at: "template", label: "Template of the prompts", more: true, when: instruction, choices: ["", "plain", "t5", "alpaca", "chat"] },
  { at: "source_lang", label: "Source language", hint: "English", more: true, when: instruction },
  { at: "target_lang", label: "Target language", hint: "German", more: true, when: instruction },
  { at: "priority", label: "Priority among your jobs", hint: "0", more: true, ...number({ min: -100, max: 100, step: 1 }) },
  { at: "class", label: "Worker class", hint: "none", more: true },
];

// targets reads "query, value" as a list, and one word or an expression as it is.
function targets(text) {
  return /^[\w.]+(\s*,\s*[\w.]+)+$/.test(text) ? text.split(",").map(t => t.trim()) : text === "all-linear" || /[^\w.]/.test(text) ? text : [text];
}

const kinds = { lora: ["LoRA", "a small adapter for one task"], full: ["Full", "all weights: a model of its own"], instruction: ["Instruction", "for bases that write"] };

const draft = { kind: "", method: "lora", model: "", name: "", dataset: "", "validation.split": "0.1" }; // stays while other sections are looked at

export default async function tune(root, _, signal, query) {
  const [known, sets] = await Promise.all([get("/models", { signal }), all("/datasets")]);
  const bases = known.data.filter(m => m.kind === "base");
  if (!sets.length) {
    show(root, el("h1", {}, "Tune"), empty("Rows first", "A tune learns from rows of yours. Upload a file, or name a data set of the Hugging Face Hub in a request:",
      `curl ${location.origin}/tune/lora -H 'Content-Type: application/json' -d '{"model": "${bases[0] ? bases[0].name : "BASE"}", "name": "imdb", \\\n  "dataset": {"hf": "stanfordnlp/imdb", "split": "train", "sample": 400}}'`, el("p", {}, link("Upload rows", "#/datasets", { class: "action" }))));
    return;
  }
  if (query.has("dataset")) Object.assign(draft, { dataset: query.get("dataset"), kind: "", model: "" });
  if (!sets.some(d => d.id === draft.dataset)) draft.dataset = sets[0].id;
  const fits = m => { // the rows say which bases can learn from them
    const scored = ["classification", "regression"].includes(sets.find(d => d.id === draft.dataset).kind);
    return scored === (m.task === "text-classification");
  };
  if (!bases.some(m => m.name === draft.model)) draft.model = (bases.find(fits) || bases[0] || { name: "" }).name;
  const writes = () => { const m = bases.find(b => b.name === draft.model); return m && m.task !== "text-classification"; };
  if (!draft.kind) draft.kind = writes() ? "instruction" : "lora";

  const form = el("form", { class: "panel", novalidate: true }), plan = el("div", { "aria-live": "polite" });
  show(root, el("h1", {}, "Tune"), el("p", { class: "lead" }, "Everything has a default. The plan says what it costs before anything starts."), form, plan);
  const inputs = new Map(), errors = el("div");
  let open = false, checked = null;

  function field(at, label, input, extra) {
    const fault = el("p", { class: "fault", id: unique("fault") });
    input.id = unique("option");
    input.name = at;
    if (input.value === "" && draft[at]) input.value = draft[at];
    input.addEventListener("input", () => {
      draft[at] = input.value;
      blame(input, fault, "");
      stale();
    });
    inputs.set(at, { input, fault });
    return el("div", { class: "field" }, el("label", { for: input.id }, label), input, extra, fault);
  }
  function blame(input, fault, text) {
    fault.textContent = text;
    if (text) {
      input.setAttribute("aria-invalid", "true");
      input.setAttribute("aria-describedby", fault.id);
    } else {
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-describedby");
    }
  }
  function stale() {
    if (checked) show(plan, el("p", { class: "muted" }, "The form has changed: check the plan again."));
    checked = null;
  }
  function option(o) {
    const standard = typeof o.standard === "function" ? o.standard(draft) : o.standard;
    const known = o.suggest ? el("datalist", { id: unique("known") }, o.suggest.map(s => el("option", { value: s }))) : null;
    const input = o.choices ? el("select", {}, o.choices.map(c => el("option", { value: c }, c || o.none || "the base's own")))
      : el("input", { type: o.type || "text", min: o.min, max: o.max, step: o.step, spellcheck: "false", placeholder: standard === undefined ? o.hint : standard, inputmode: o.type ? "decimal" : undefined, list: known ? known.id : undefined });
    if (o.choices && standard) input.value = draft[o.at] || standard;
    return field(o.at, o.label, input, known);
  }
  const radios = (legend, at, choices) => {
    const group = unique(at);
    return el("fieldset", { class: "segments" }, el("legend", {}, legend), Object.entries(choices).map(([k, [title, about]]) => el("label", {},
      el("input", { type: "radio", name: group, value: k, checked: draft[at] === k, onchange: () => { draft[at] = k; stale(); draw(); form.querySelector(`input[value=${k}]`).focus(); } }),
      el("span", {}, title, about ? el("small", {}, about) : null))));
  };

  function draw() {
    inputs.clear();
    const shown = options.filter(o => !o.when || o.when(draft));
    const base = el("select", {}, bases.map(m => el("option", { value: m.name, selected: m.name === draft.model }, `${m.name} · ${m.family}`)));
    const set = el("select", {}, sets.map(d => el("option", { value: d.id, selected: d.id === draft.dataset }, `${d.name || d.id} · ${count(d.rows)} rows`)));
    const fold = el("details", { open, ontoggle: () => { open = fold.open; } }, el("summary", {}, "Advanced"), el("div", { class: "fields" }, shown.filter(o => o.more).map(option)));
    show(form, radios("Kind", "kind", kinds), instruction(draft) ? radios("What learns", "method", { lora: ["An adapter"], full: ["All weights"] }) : null,
      el("div", { class: "fields" }, field("model", "Base", base), field("dataset", "Rows", set),
        field("name", whole(draft) ? "Name of the variant" : "Name of the adapter", el("input", { autocomplete: "off", spellcheck: "false", placeholder: "sentiment", maxlength: 64 })), shown.filter(o => !o.more).map(option)),
      fold, errors, el("div", { class: "row" }, el("button", { type: "submit", class: "primary" }, "Check the plan")));
  }

  // body is the request, with only what was filled in.
  function body() {
    const b = { model: draft.model, name: draft.name.trim(), dataset: { id: draft.dataset } };
    if (instruction(draft)) b.method = draft.method;
    for (const o of options) {
      const given = inputs.get(o.at);
      if (!given || given.input.value.trim() === "") continue;
      const text = given.input.value.trim();
      let value = o.read ? o.read(text) : o.type === "number" ? Number(text) : text;
      if (value === o.standard) continue;
      let place = b;
      const path = o.at.split(".");
      for (const p of path.slice(0, -1)) place = place[p] ||= {};
      place[path.at(-1)] = value;
    }
    if (b.validation && !b.validation.split) delete b.validation; // 0: none
    return b;
  }

  // tell puts every fault at its field, and the others above the button.
  function tell(problem) {
    const others = [];
    let first = null;
    for (const f of problem.errors) {
      const at = inputs.has(f.field) ? f.field : [...inputs.keys()].find(k => f.field && (f.field.startsWith(`${k}[`) || f.field.startsWith(`${k}.`) || k.startsWith(`${f.field}.`)));
      if (!at) {
        others.push(f);
        continue;
      }
      const { input, fault } = inputs.get(at);
      blame(input, fault, fault.textContent ? `${fault.textContent}; ${f.reason}` : f.reason);
      const fold = input.closest("details");
      if (fold) fold.open = true;
      first ||= input;
    }
    show(errors, others.length || !problem.errors.length ? el("div", { class: "panel bad", role: "alert" }, others.length ? faultList(others) : problem.detail) : null);
    if (first) first.focus();
    else errors.scrollIntoView({ block: "nearest" });
  }

  form.addEventListener("submit", async e => {
    e.preventDefault();
    show(errors);
    for (const { input, fault } of inputs.values()) blame(input, fault, "");
    const asked = body();
    await busy(form.querySelector("button[type=submit]"), async () => {
      try {
        const p = await post(`/tune/${draft.kind}?dry_run=true`, asked, { signal });
        checked = { kind: draft.kind, body: asked, key: once() };
        propose(p, asked.promote);
      } catch (error) {
        show(plan);
        if (error.problem && [400, 404, 422].includes(error.problem.status)) tell(error.problem);
        else complain(error);
      }
    });
  });

  function propose(p, gate) {
    const start = button("Start tuning", () => busy(start, async () => {
      if (!checked) return;
      try {
        const j = await post(`/tune/${checked.kind}`, checked.body, { headers: { "Idempotency-Key": checked.key } });
        toast(`${j.name} is ${j.status}`);
        draft.name = "";
        location.hash = `#/jobs/${encodeURIComponent(j.id)}`;
      } catch (error) {
        if (error.problem && error.problem.status === 422) tell(error.problem);
        else complain(error);
      }
    }), { class: "primary" });
    show(plan, el("section", { class: "panel good", "aria-label": "Plan" }, el("h2", {}, "Plan"),
      el("dl", { class: "facts" }, pair("Rows", `${count(p.rows)}${p.validation_rows ? ` and ${count(p.validation_rows)} held back` : ""}`), pair("Steps", `${count(p.steps)}, ${count(p.steps_per_epoch)} an epoch`),
        pair("Learns", `${count(p.trainable_parameters)} of ${count(p.total_parameters)} parameters`), pair("Time", p.estimated_seconds ? `about ${duration(p.estimated_seconds)}` : "not known yet"), pair("Memory", `about ${bytes(p.estimated_memory_bytes)}`),
        p.lengths && p.lengths.max ? pair("Length of a row", `${count(p.lengths.median)} tokens, at most ${count(p.lengths.max)}`) : null,
        p.truncated_rows ? pair("Cut", `${count(p.truncated_rows)} rows are longer than the longest text`) : null,
        gate ? pair("Becomes current", `if ${gate.if} is better than that of ${gate.than === "base" ? "the base" : "the current version"}`) : null),
      p.labels && p.labels.length ? el("p", {}, el("span", { class: "muted" }, "Labels "), p.labels.slice(0, 30).map(l => [badge(l), " "])) : null,
      (p.warnings || []).length ? el("ul", { class: "warnings", "aria-label": "Warnings" }, p.warnings.map(w => el("li", {}, w))) : null,
      el("div", { class: "row" }, start)));
    start.scrollIntoView({ block: "nearest" });
    start.focus({ preventScroll: true });
  }
  draw();
}

// once is a key that makes one job of one click, however often the request is sent.
const once = () => [...crypto.getRandomValues(new Uint8Array(16))].map(b => b.toString(16).padStart(2, "0")).join("");
