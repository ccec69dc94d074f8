// Bases, and the adapters and variants made for them.

import { badge, el, empty, link, meter, pair, show } from "./dom.js";
import { all, get } from "./api.js";
import { count } from "./format.js";
import { series } from "./adapter.js";
import { merger } from "./merge.js";

const tasks = { "text-classification": "scores texts", "text2text-generation": "writes texts", "text-generation": "writes texts" };

export default async function models(root, [chosen], signal) {
  const bases = el("div", { class: "cards" }), adapters = el("div");
  show(root, el("h1", {}, "Models"), el("h2", {}, "Bases"), el("p", { class: "lead" }, "Frozen. Every request may bring an adapter of its own."), bases,
    el("h2", {}, "Adapters and variants"), adapters);
  const [known, made] = await Promise.all([get("/models", { signal }), all("/adapters")]);
  show(bases, known.data.map(card));
  if (!made.length) {
    const base = known.data.find(m => m.kind === "base") || { name: "BASE" };
    show(adapters, empty("No adapters yet", "An adapter teaches a base one task. Tune one from rows of yours, or bring a PEFT folder:",
      `curl ${location.origin}/adapters -F name=mine -F model=${base.name} \\\n  -F adapter_config.json=@adapter_config.json \\\n  -F adapter_model.safetensors=@adapter_model.safetensors`,
      el("p", {}, link("Tune one", "#/tune", { class: "action" }))));
    return;
  }
  show(adapters, made.map(a => series(a, a.name === chosen)), merger(made));
}

function card(m) {
  const used = m.slots - m.slots_free;
  return el("article", { class: "card" },
    el("h3", {}, m.name, " ", badge(m.kind === "variant" ? "variant" : m.family)),
    el("p", { class: "muted" }, m.kind === "variant" ? `full fine-tune of ${m.base}; ` : "", `${tasks[m.task] || m.task}${m.task === "text-classification" && !m.labels.length ? ", once an adapter brings a head" : ""}`),
    el("dl", {}, pair("Parameters", count(m.parameters)), pair("Longest text", `${m.max_length} tokens`), pair("Computed in", m.dtype),
      m.labels.length ? pair("Labels", m.labels.join(", ")) : null),
    m.slots ? el("div", { class: "slots" }, meter(used / m.slots, `Adapter slots of ${m.name} in use`), el("span", { class: "muted" }, `${used} of ${m.slots} adapter slots in use`)) : null);
}
