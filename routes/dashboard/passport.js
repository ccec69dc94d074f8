// What a version was made from, and what its gate decided.

import { badge, button, complain, el, link, pair, put, show, table } from "./dom.js";
import { get, name, save } from "./api.js";
import { bytes, count, figure, metricName, percent } from "./format.js";

// rowsOf says where rows came from; of a share that was held back, from which.
function rowsOf(rows, of) {
  const s = (rows && rows.source) || {};
  if (s.id) return link(s.id, `#/datasets/${name(s.id)}`);
  if (s.hf) return `${s.hf}${s.split ? `, ${s.split}` : ""}`;
  if (s.split) return [`${percent(Number(s.split))} of `, of ? rowsOf(of) : "the rows"];
  return rows && rows.digest ? el("code", {}, short(rows.digest)) : "rows of the request";
}

const short = digest => (digest || "").replace(/^(sha256:.{12}).*/, "$1…");

// decision shows a gate: who was compared, by how much they differ, and on which rows.
export function decision(v, at) {
  const g = v.gate, ahead = other => g.candidate === other ? "the same" : `this one ${g.candidate > other ? "+" : "−"}${figure(Math.abs(g.candidate - other))}`;
  const rival = (who, other) => other === undefined ? null : pair(who, `${figure(other)} (${ahead(other)})`);
  const rows = el("dd", {}, "…");
  get(`${at}/passport`).then(p => show(rows, p.training ? rowsOf(p.training.validation, p.training.dataset) : "–", p.metrics.eval_samples ? `, ${count(p.metrics.eval_samples)} rows` : "")).catch(error => { show(rows, "–"); complain(error); });
  return el("div", { class: `gate ${g.promoted ? "good" : "warm"}`, role: "group", "aria-label": `Gate of ${v.name}@${v.version}` },
    el("p", {}, badge(g.promoted ? "passed its gate" : "held back by its gate", g.promoted ? "good" : "warm"), " ", g.reason),
    el("dl", { class: "facts" }, pair(metricName(g.if), figure(g.candidate)),
      rival(`${v.name}@${g.current_version}`, g.current), rival("The base", g.base),
      pair("Had to beat", `${g.than === "base" ? "the base" : "the current version"}${g.min_delta ? `, by more than ${figure(g.min_delta)}` : ""}`),
      el("div", {}, el("dt", {}, "Measured on"), rows)));
}

// passport is read when it is opened.
export function passport(ref, at) {
  const inside = el("div", { class: "inside" });
  const box = el("details", { class: "passport", ontoggle: async () => {
    if (!box.open || inside.hasChildNodes()) return;
    put(inside, "…");
    try {
      show(inside, described(await get(`${at}/passport`), ref, at));
    } catch (error) {
      show(inside);
      complain(error);
    }
  } }, el("summary", {}, "Passport"), inside);
  return box;
}

function described(p, ref, at) {
  const t = p.training, m = p.merged, code = digest => digest ? el("code", { title: digest }, short(digest)) : "–";
  const json = (label, x) => x ? el("details", {}, el("summary", {}, label), el("pre", { tabindex: 0, role: "group", "aria-label": `${label} of ${ref}` }, JSON.stringify(x, null, 2))) : null;
  return [el("dl", { class: "facts" },
    pair("Made for", [p.base.name, p.base.source ? ` · ${p.base.source}` : ""]), pair("Base", code(p.base.digest)), p.base.tokenizer_digest ? pair("Tokenizer", code(p.base.tokenizer_digest)) : null,
    p.base.license ? pair("License of the base", p.base.license) : null, pair("Weights", code(p.digest)),
    t ? [pair("Tune", `${t.kind}${t.method ? `, ${t.method}` : ""}, ${count(t.steps)} steps`), pair("Taught with", rowsOf(t.dataset)), t.validation ? pair("Measured on", rowsOf(t.validation, t.dataset)) : null] : null,
    m ? [pair("Merged by", m.method), pair("Of", m.adapters.map(part => `${part.version.name}@${part.version.version} × ${part.weight}`).join(", "))] : null,
    p.source ? pair("Source", p.source) : null, p.software ? pair("Made by", p.software) : null),
  t ? [json("Hyperparameters", t.hyperparameters), json("LoRA", t.lora)] : null,
  table("Files", ["File", "Size", "Digest"], Object.entries(p.files).map(([f, x]) => [f, bytes(x.size), code(x.digest)])),
  el("div", { class: "row" }, button("Download as JSON", () => save(`${at}/passport`, `${ref}.json`).catch(complain), { class: "small quiet", "aria-label": `Download as JSON: passport of ${ref}` }))];
}
