// How the requests for a name are split between its versions, and a form to change it.

import { busy, button, complain, el, field, put, show, toast, unique } from "./dom.js";
import { name, post, remove } from "./api.js";
import { percent } from "./format.js";

const mostVersions = 16, mostWeight = 1000000; // as the service has them

const stays = { header: "by the header X-Canary-Key", client: "by the API key", none: "nowhere: drawn anew each time" };

// traffic is nothing for a name with one version.
export function traffic(a, changed) {
  const now = a.traffic ? a.traffic.versions : null;
  if (!now && a.versions.length < 2) return null;
  const at = `/adapters/${name(a.name)}/traffic`, label = `Traffic of ${a.name}`;
  const weightOf = v => now ? now[v] || 0 : v === a.version ? 100 : 0;
  // Those that have some come first, then the newest; they are shown in order.
  const versions = a.versions.slice().sort((x, y) => (weightOf(y) > 0) - (weightOf(x) > 0) || y - x).slice(0, mostVersions).sort((x, y) => y - x);
  const fault = el("p", { class: "fault", id: unique("fault"), role: "status" });
  const rows = versions.map(v => row(a, v, weightOf(v), fault, check));
  // A canary is two versions: of many, the others wait behind a button.
  const rest = rows.filter((r, i) => i > 1 && !r.weight() && r.version !== a.version);
  for (const r of rest) r.element.hidden = true;
  const more = rest.length ? button(`${rest.length} more versions`, () => { for (const r of rest) r.element.hidden = false; rest[0].number.focus(); more.remove(); }, { class: "small quiet" }) : null;
  const sticky = el("select", {}, Object.entries(stays).map(([k, text]) => el("option", { value: k, selected: k === (a.traffic ? a.traffic.sticky : "header") }, text)));

  // check says what the service would: whole weights, not all of them 0.
  function check() {
    const total = rows.reduce((sum, r) => sum + (r.weight() || 0), 0);
    const wrong = rows.filter(r => r.weight() === null);
    for (const r of rows) r.show(total, wrong.includes(r) || !total);
    fault.textContent = wrong.length ? `A weight is a whole number from 0 to ${mostWeight.toLocaleString("en")}.` : total ? "" : "No version has a weight above 0.";
    return wrong[0] || (total ? null : rows[0]);
  }
  // The section is drawn anew by what it does; the focus stays in it.
  const act = (b, work, done) => busy(b, async () => {
    try {
      await work();
      toast(done);
      await changed();
      [...document.querySelectorAll(".traffic form")].find(f => f.getAttribute("aria-label") === label)?.parentElement.querySelector("summary").focus();
    } catch (error) {
      complain(error, "The traffic is as it was");
    }
  });
  const split = el("button", { type: "submit", class: "small" }, "Split the traffic");
  const form = el("form", { "aria-label": label, novalidate: true, onsubmit: e => {
    e.preventDefault();
    const wrong = check();
    if (wrong) return wrong.number.focus();
    const given = Object.fromEntries(rows.filter(r => r.weight()).map(r => [r.version, r.weight()]));
    act(split, () => post(at, { versions: given, sticky: sticky.value }), `Requests for ${a.name} are split`);
  } },
  el("p", { class: "muted" }, now ? `Requests for ${a.name} are split by weight; a rollback ends it.` : `Requests for ${a.name} are all answered by @${a.version}. Give another version some of them to try it.`),
  el("ol", { class: "weights" }, rows.map(r => r.element)), more ? el("div", {}, more) : null, fault,
  el("div", { class: "row end-to-end" }, field("A caller stays on one version", sticky),
    el("div", { class: "row" }, split, now ? button("End the split", e => act(e.target, () => remove(at), `${a.name} means @${a.version} again`), { class: "small quiet" }) : null)));
  check();
  return el("details", { class: "traffic", open: Boolean(now) }, el("summary", {}, "Traffic"), form);
}

// row is a version with its weight, as a slider up to 100 and as a number.
function row(a, version, start, fault, changed) {
  const ref = `${a.name}@${version}`, share = el("output", { class: "value" });
  const number = el("input", { id: unique("weight"), type: "number", min: 0, max: mostWeight, step: 1, value: start, "aria-describedby": fault.id });
  const slide = el("input", { type: "range", min: 0, max: 100, value: start, "aria-label": `Weight of ${ref}, up to 100` });
  const weight = () => /^\d+$/.test(number.value) && Number(number.value) <= mostWeight ? Number(number.value) : null;
  number.addEventListener("input", () => { slide.value = weight() || 0; changed(); });
  slide.addEventListener("input", () => { number.value = slide.value; changed(); });
  return { version, number, weight, element: put(el("li", {}), el("label", { for: number.id }, ref, version === a.version ? ", current" : ""), slide, number, share),
    show(total, wrong) {
      if (wrong) number.setAttribute("aria-invalid", "true");
      else number.removeAttribute("aria-invalid");
      show(share, total && weight() !== null ? percent(weight() / total) : "–");
    } };
}
