// One text, several answers: the base, its adapters and its variants side by side.

import { badge, button, command, el, empty, faultList, field, link, meter, put, show, unique } from "./dom.js";
import { all, get, send } from "./api.js";
import { judge } from "./judge.js";
import { read } from "./sse.js";
import { figure, ms } from "./format.js";

// What was typed and chosen stays while other sections are looked at.
const state = { model: "", chosen: new Map(), text: "The waiter was charming and the dessert was superb.", instruction: "", input: "", message: "", prompt: "", mode: "", versions: false, filter: "",
  tokens: 64, beams: 1, temperature: 0, below: "" };

const brief = 8; // more answers than these are shown in a line each

const writes = m => m.task !== "text-classification";

export default async function playground(root, _, signal, query) {
  const [known, made] = await Promise.all([get("/models", { signal }), all("/adapters")]);
  const bases = known.data.filter(m => m.kind === "base");
  if (!bases.length) {
    show(root, empty("No base yet", "The bases are still being loaded, or none is served. Start the service with one:", "service --base bert=hf:google-bert/bert-base-uncased"));
    return;
  }
  if (query.has("model")) state.model = query.get("model");
  if (!bases.some(m => m.name === state.model)) state.model = (bases.find(m => made.some(a => a.base === m.name)) || bases[0]).name;
  if (query.has("with")) {
    state.chosen.set(state.model, new Set([query.get("with")]));
    state.versions ||= query.get("with").includes("@");
  }

  const form = el("form", { class: "panel ask" }), results = el("div", { class: "results", role: "region", "aria-label": "Answers" });
  show(root, el("h1", {}, "Playground"), el("p", { class: "lead" }, "One text, asked of the frozen base and of its adapters at once."), form, results);
  let running = new AbortController();
  signal.addEventListener("abort", () => running.abort());
  form.addEventListener("submit", e => {
    e.preventDefault();
    running.abort();
    running = new AbortController();
    run(base(), made, results, running.signal);
  });
  form.addEventListener("keydown", e => {
    if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) form.requestSubmit();
  });
  const base = () => bases.find(m => m.name === state.model);

  function draw() {
    const m = base();
    const id = unique("base");
    const select = el("select", { id, onchange: () => { state.model = select.value; running.abort(); show(results); draw(); form.querySelector("select").focus(); } },
      bases.map(b => el("option", { value: b.name, selected: b.name === m.name }, `${b.name} · ${writes(b) ? "writes" : "scores"}`)));
    show(form,
      el("div", { class: "field" }, el("label", { for: id }, "Base"), select),
      writes(m) ? question(m, draw) : area("Text", "text", 3),
      answerers(m, made, draw),
      writes(m) ? parameters() : caution(),
      el("div", { class: "row" }, el("button", { class: "primary", type: "submit" }, "Compare"), button("Stop", () => running.abort(), { hidden: !writes(m) }),
        el("span", { class: "muted keys" }, el("kbd", {}, "Ctrl"), " ", el("kbd", {}, "Enter"))));
  }
  draw();
  if (!made.some(a => a.base === state.model)) {
    show(results, empty("Nothing to compare yet", `${state.model} has no adapter. A tune of a few dozen rows takes less than a minute on a small base.`, "",
      el("p", { class: "row" }, link("Upload rows", "#/datasets", { class: "action" }), link("Tune", "#/tune", { class: "action" }))));
  }
}

function area(label, at, rows, hint) {
  const id = unique(at);
  const e = el("textarea", { id, rows, spellcheck: "false", placeholder: hint, oninput: () => { state[at] = e.value; } });
  e.value = state[at];
  return el("div", { class: "field" }, el("label", { for: id }, label), e);
}

// question asks a base that writes in one of the ways it knows.
function question(m, draw) {
  const modes = { instruction: "Instruction", ...(m.templates || []).includes("chat") ? { message: "Message" } : {}, prompt: "Prompt as it is" };
  if (!(state.mode in modes)) state.mode = "message" in modes ? "message" : "instruction";
  const group = unique("mode");
  return [el("fieldset", { class: "segments" }, el("legend", {}, "Ask with"), Object.entries(modes).map(([k, text]) => el("label", {},
    el("input", { type: "radio", name: group, value: k, checked: k === state.mode, onchange: () => { state.mode = k; draw(); document.querySelector(`input[value=${k}]`).focus(); } }), el("span", {}, text)))),
  { instruction: [area("Instruction", "instruction", 2, "Is this review positive or negative?"), area("Input (may be empty)", "input", 2, "The soup was cold and the waiter was rude.")],
    message: area("Message", "message", 3, "Name a river."), prompt: area("Prompt", "prompt", 3, "Once upon a time") }[state.mode]];
}

function parameters() {
  const number = (label, at, attributes) => {
    const e = el("input", { type: "number", value: state[at], oninput: () => { state[at] = Number(e.value); }, ...attributes });
    return field(label, e);
  };
  return el("details", {}, el("summary", {}, "How it writes"), el("div", { class: "fields" },
    number("Longest answer, tokens", "tokens", { min: 1, max: 4096 }), number("Beams", "beams", { min: 1, max: 16 }),
    number("Temperature (0: greedy)", "temperature", { min: 0, max: 10, step: 0.1 })));
}

// caution has classifiers abstain where they are not sure.
function caution() {
  const below = el("input", { type: "number", min: 0, max: 1, step: "any", value: state.below, placeholder: "never", oninput: () => { state.below = below.value; } });
  return el("details", { open: state.below !== "" }, el("summary", {}, "How sure it must be"), el("div", { class: "fields" }, field("Abstain below a score of", below)),
    el("p", { class: "muted" }, "Scores are calibrated where the tune held back 20 rows or more; the metric “abstain below” of an adapter recommends a threshold."));
}

// options are who can answer for a base.
function options(m, made) {
  const out = [{ id: "", name: m.name, about: "base alone", body: { model: m.name, adapter: null }, bare: !writes(m) && !m.labels.length }];
  for (const a of made.filter(a => a.base === m.name)) {
    const variant = a.kind === "variant";
    const one = (ref, about) => out.push({ id: ref, name: ref, about, body: variant ? { model: ref } : { model: m.name, adapter: ref } });
    one(a.name, variant ? "variant" : `@${a.version}`);
    if (state.versions) for (const v of a.versions.slice().reverse()) if (v !== a.version) one(`${a.name}@${v}`, "older or newer");
  }
  return out;
}

function chosenOf(m, made) {
  if (!state.chosen.has(m.name)) state.chosen.set(m.name, new Set(options(m, made).filter(o => !o.bare).slice(0, 4).map(o => o.id)));
  return state.chosen.get(m.name);
}

function answerers(m, made, draw) {
  const every = options(m, made), chosen = chosenOf(m, made);
  const chips = el("div", { class: "chips" });
  const fill = () => show(chips, every.filter(o => !o.id || o.id.includes(state.filter) || chosen.has(o.id)).slice(0, 200).map(o => {
    const box = el("input", { type: "checkbox", value: o.id, checked: chosen.has(o.id), onchange: () => box.checked ? chosen.add(o.id) : chosen.delete(o.id) });
    return el("label", { class: "chip" }, box, el("span", {}, el("b", {}, o.name), " ", el("span", { class: "muted" }, o.bare ? "base, no head of its own" : o.about)));
  }));
  fill();
  const filter = every.length > 13 ? el("input", { type: "search", value: state.filter, placeholder: "Filter by name", "aria-label": "Filter adapters by name", oninput: () => { state.filter = filter.value; fill(); } }) : null;
  const choose = yes => { every.forEach(o => { if (yes && !o.bare) chosen.add(o.id); else chosen.delete(o.id); }); fill(); };
  const quick = every.length > brief ? el("span", {}, button("All", () => choose(true), { class: "small quiet", "aria-label": "Ask all of them" }), button("None", () => choose(false), { class: "small quiet", "aria-label": "Ask none of them" })) : null;
  const several = made.some(a => a.base === m.name && a.versions.length > 1);
  const older = several ? el("label", { class: "check" }, el("input", { type: "checkbox", checked: state.versions, onchange: e => { state.versions = e.target.checked; draw(); } }), "Show every version") : null;
  return el("fieldset", {}, el("legend", {}, "Who answers"), filter, chips, el("div", { class: "row" }, older, quick));
}

function askFor(m) {
  if (!writes(m)) return { inputs: state.text, ...(state.below === "" ? {} : { abstain_below: Number(state.below) }) };
  const parameters = { max_new_tokens: state.tokens };
  if (state.beams > 1) parameters.num_beams = state.beams;
  if (state.temperature > 0) Object.assign(parameters, { do_sample: true, temperature: state.temperature });
  const ask = { instruction: { instruction: state.instruction, ...(state.input ? { input: state.input } : {}) },
    message: { messages: [{ role: "user", content: state.message }] }, prompt: { prompt: state.prompt } }[state.mode];
  return { ...ask, parameters };
}

async function run(m, made, results, signal) {
  const chosen = chosenOf(m, made), asked = options(m, made).filter(o => chosen.has(o.id));
  if (!asked.length) {
    show(results, el("p", { class: "empty", role: "alert" }, "Choose who answers: the base, or an adapter."));
    return;
  }
  const ask = askFor(m), lines = !writes(m) && asked.length > brief;
  const cards = asked.map(o => {
    const body = el("div", { class: "answer" }, el("span", { class: "muted" }, "…")), foot = el("p", { class: "muted foot" });
    const verdict = el("div"); // on the answer; many answers, in a line each, have no room for it
    return { o, ask, body, foot, verdict, lines, card: el("article", { class: "card", "aria-label": `Answer of ${o.name}`, "aria-busy": true }, el("h2", {}, o.name, " ", badge(o.id ? o.about : "base")), body, lines ? null : [verdict, foot]) };
  });
  show(results, el("div", { class: lines ? "cards lines" : "cards wide" }, cards.map(c => c.card)), curl(m, ask, asked));
  results.scrollIntoView({ block: "nearest" });
  const each = (list, answer) => Promise.all(list.map(async c => {
    try {
      await answer({ ...c.o.body, ...ask }, c, signal);
    } catch (error) {
      if (error.name === "AbortError") put(c.foot, "stopped");
      else refuse(c, error);
    }
    c.card.removeAttribute("aria-busy");
  }));
  if (writes(m)) return each(cards, write);
  const together = cards.filter(c => inBatch(c.o));
  await Promise.all([each(cards.filter(c => !together.includes(c)), score), fanOut(m, ask, together, signal).catch(error => {
    // One that refuses would keep the others from answering: each is asked on its own.
    if (error.name !== "AbortError" && (!error.problem || error.problem.status >= 429)) return together.forEach(c => { refuse(c, error); c.card.removeAttribute("aria-busy"); });
    return each(together, score);
  })]);
}

// inBatch is who can be asked along with others: adapters, and a base with a head.
const inBatch = o => "adapter" in o.body && !o.bare;

const most = 256; // answers in one request

// fanOut asks many adapters about the text in one request, so that they are one batch.
async function fanOut(m, ask, cards, signal) {
  for (let at = 0; at < cards.length; at += most) {
    const part = cards.slice(at, at + most), start = performance.now();
    const response = await send("POST", "/predict", { body: { model: m.name, ...ask, fan_out: part.map(c => c.o.body.adapter) }, signal }), answer = await response.json();
    const took = performance.now() - start;
    part.forEach((c, i) => {
      const r = answer.results[i];
      scored(c, r, r.adapter, idOf(response), `${part.length > 1 ? `one batch of ${part.length}, ` : ""}${ms(answer.timings.inference_ms)} on the device, ${ms(took)} in all`);
      c.card.removeAttribute("aria-busy");
    });
  }
}

function refuse(c, error) {
  const p = error.problem;
  show(c.body, el("p", { class: "bad" }, p && p.code === "no_head" ? "It has no classification head of its own: an adapter brings one." : p ? p.detail : error.message),
    p && p.errors.length > 1 ? faultList(p.errors) : null);
}

const scoresShown = 8;

async function score(body, c, signal) {
  const start = performance.now();
  const response = await send("POST", "/predict", { body, signal }), answer = await response.json();
  const took = performance.now() - start;
  scored(c, answer.results[0], refOf(answer), idOf(response), `${ms(answer.timings.inference_ms)} on the device, ${ms(took)} in all · ${answer.usage.input_tokens} tokens`);
}

const refOf = answer => answer.adapter ? `${answer.adapter.name}@${answer.adapter.version}` : "", idOf = response => response.headers.get("X-Request-Id");

// scored shows one result: its label, unless the model abstains, and the scores.
function scored(c, r, by, request, foot) {
  const one = r.scores.length === 1, best = r.scores[0];
  show(c.body, el("p", { class: "verdict" }, r.abstained ? el("span", { class: "muted" }, "abstains", c.lines ? `, at best ${best.label}` : "") : one ? figure(r.score) : r.label),
    one ? null : el("ol", { class: "scores" }, r.scores.slice(0, c.lines ? 1 : scoresShown).map(s => el("li", {},
      c.lines ? null : el("span", { class: "name" }, s.label), meter(s.score, s.label), el("span", { class: "value" }, s.score.toFixed(3))))),
    r.scores.length > scoresShown && !c.lines ? el("p", { class: "muted" }, `and ${r.scores.length - scoresShown} more labels`) : null);
  show(c.verdict, judge({ who: c.o.name, model: c.o.body.model, adapter: by, request, given: r.abstained ? null : one ? r.score : r.label,
    ...(one ? { number: true } : { labels: r.scores.map(s => s.label) }), row: answer => ({ text: c.ask.inputs, [one ? "target" : "label"]: answer }) }));
  show(c.foot, by ? `${by} · ` : "", r.abstained ? `not sure enough: ${best.label} reaches ${best.score.toFixed(3)} · ` : "", r.calibrated ? "calibrated · " : "", foot);
}

async function write(body, c, signal) {
  const text = el("p", { class: "text writing", "aria-live": "polite" });
  const response = await send("POST", "/generate", { body: { ...body, stream: true }, signal });
  show(c.body, text);
  let end = null, failed = null, whole = "";
  try {
    await read(response, e => {
      if (e.data === "[DONE]") return;
      const d = JSON.parse(e.data);
      if (e.event === "error") failed = d;
      else if (d.finish_reason) end = d;
      else {
        text.append(d.text);
        whole += d.text;
      }
    });
  } finally {
    text.classList.remove("writing");
  }
  if (failed) put(c.body, el("p", { class: "bad" }, failed.detail));
  else if (!end) put(c.body, el("p", { class: "bad" }, "The connection broke before the end."));
  if (!text.textContent && end) show(text, el("span", { class: "muted" }, "(nothing: it ended at once)"));
  if (!end) return;
  const t = end.timings, by = refOf(end);
  show(c.verdict, judge({ who: c.o.name, model: c.o.body.model, adapter: by, request: idOf(response), given: whole, row: answer => rowOf(c.ask, answer) }));
  show(c.foot, by ? `${by} · ` : "", `first token after ${ms(t.first_token_ms)}, ${figure(t.tokens_per_second)} tokens/s · ${end.usage.output_tokens} tokens · ${end.finish_reason === "stop" ? "ended by itself" : "cut at the longest answer"}`,
    (end.warnings || []).map(w => el("span", { class: "warn" }, ` · ${w}`)));
}

// rowOf is what was asked of a base that writes, with the right answer.
function rowOf(ask, answer) {
  if (ask.messages) return { messages: [...ask.messages, { role: "assistant", content: answer }] };
  return "prompt" in ask ? { prompt: ask.prompt, completion: answer } : { instruction: ask.instruction, input: ask.input || "", output: answer };
}

// curl shows how a program asks the same; for a classifier all adapters in one batch.
function curl(m, ask, asked) {
  const quoted = body => `-H 'Content-Type: application/json' -d '${JSON.stringify(body).replaceAll("'", "'\\''")}'`;
  const line = (path, body) => `curl ${location.origin}${path} ${quoted(body)}`;
  const mixed = writes(m) ? [] : asked.filter(inBatch), together = mixed.length > 1;
  const lines = [together ? line("/predict", { model: m.name, ...ask, fan_out: mixed.map(o => o.body.adapter) }) : null,
    ...asked.filter(o => !together || !mixed.includes(o)).map(o => line(writes(m) ? "/generate" : "/predict", { ...o.body, ...ask }))].filter(Boolean);
  return el("details", { class: "curl" }, el("summary", {}, "The same with curl", together ? ", in one batch" : ""), lines.map(command));
}
