// A form that makes an adapter of others of the same base.

import { busy, button, complain, el, faultList, field, show, toast, unique, visit } from "./dom.js";
import { name as inPath, post } from "./api.js";

const methods = { linear: "linear: weighted sum of the factors", cat: "cat: exact weighted sum of the updates", ties: "ties: trim, elect signs, merge", dare_linear: "dare_linear: drop at random, rescale", dare_ties: "dare_ties: drop, then elect signs" };
const prunes = method => !["linear", "cat"].includes(method), elects = method => method.endsWith("ties"), draws = method => method.startsWith("dare");

// merger is nothing where no base has two versions to merge.
export function merger(made) {
  const refs = new Map(); // of each base
  for (const a of made.filter(a => a.kind === "adapter")) {
    if (!refs.has(a.base)) refs.set(a.base, []);
    refs.get(a.base).push(...a.versions.slice().reverse().map(v => ({ ref: `${a.name}@${v}`, about: v === a.version ? `${a.name}@${v}, current` : `${a.name}@${v}`, current: v === a.version })));
  }
  const bases = [...refs.keys()].filter(b => refs.get(b).length > 1);
  if (!bases.length) return null;
  const base = el("select", { onchange: () => { parts = []; start(); } }, bases.map(b => el("option", {}, b)));
  const list = el("ol", { class: "weights" }), options = el("div", { class: "fields" }), errors = el("div");
  const title = el("input", { autocomplete: "off", spellcheck: "false", placeholder: "both", maxlength: 64 });
  const method = el("select", { onchange: draw }, Object.entries(methods).map(([k, text]) => el("option", { value: k }, text)));
  const density = el("input", { type: "number", min: 0, max: 1, step: "any", placeholder: 0.5 });
  const sign = el("select", {}, ["total", "frequency"].map(s => el("option", {}, s)));
  const seed = el("input", { type: "number", min: 0, step: 1, placeholder: 42 });
  let parts = [];

  const all = () => refs.get(base.value);
  function start() { // with the current versions of two names, where there are
    const first = all().slice().sort((x, y) => y.current - x.current);
    parts = first.slice(0, 2).map(r => ({ ref: r.ref, weight: 0.5 }));
    draw();
  }
  function draw() {
    show(list, parts.map((p, i) => {
      const which = el("select", { id: unique("part"), onchange: () => { p.ref = which.value; } }, all().map(r => el("option", { value: r.ref, selected: r.ref === p.ref }, r.about)));
      const weight = el("input", { type: "number", step: "any", value: p.weight, "aria-label": `Weight of adapter ${i + 1}`, oninput: () => { p.weight = weight.value; } });
      return el("li", { class: "part" }, el("label", { for: which.id }, `Adapter ${i + 1}`), which, weight,
        button("Remove", () => { parts.splice(i, 1); draw(); list.querySelector("select").focus(); }, { class: "small quiet", "aria-label": `Remove adapter ${i + 1}`, disabled: parts.length < 3 }));
    }));
    const m = method.value;
    show(options, field("Name of the merged adapter", title), field("Method", method), prunes(m) ? field("Density, share of the values that stay", density) : null,
      elects(m) ? field("Signs are elected by", sign) : null, draws(m) ? field("Seed", seed) : null);
  }
  const go = el("button", { type: "submit", class: "primary" }, "Merge");
  const form = el("form", { novalidate: true, onsubmit: e => {
    e.preventDefault();
    show(errors);
    const m = method.value, number = input => input.value === "" ? undefined : Number(input.value);
    busy(go, async () => {
      try {
        const v = await post("/adapters/merge", { name: title.value.trim(), method: m, adapters: parts.map(p => ({ adapter: p.ref, weight: Number(p.weight) })),
          ...(prunes(m) ? { density: number(density) } : {}), ...(elects(m) ? { majority_sign_method: sign.value } : {}), ...(draws(m) ? { seed: number(seed) } : {}) });
        toast(`${v.name}@${v.version} is made`);
        visit(`#/models/${inPath(v.name)}`);
      } catch (error) {
        if (!error.problem || error.problem.status >= 500) return complain(error);
        show(errors, el("div", { class: "panel bad", role: "alert" }, error.problem.errors.length ? faultList(error.problem.errors) : error.problem.detail));
      }
    });
  } },
  bases.length > 1 ? field("Of the base", base) : null, list,
  el("div", { class: "row" }, button("Add another", () => { parts.push({ ref: all()[0].ref, weight: 0.5 }); draw(); list.lastElementChild.querySelector("select").focus(); }, { class: "small" })),
  options, errors, el("div", { class: "row" }, go));
  start();
  return el("details", { class: "panel merge" }, el("summary", {}, "Merge adapters"), el("p", { class: "lead" }, "Several adapters of one base become one: the next version of a name."), form);
}
