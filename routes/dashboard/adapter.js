// One name: its current version in one line, all of them and its traffic behind it.

import { badge, busy, button, complain, confirm, el, link, show, table, toast, unfold } from "./dom.js";
import { get, name, post, remove, save } from "./api.js";
import { ago, bytes, figure, highlights, metricName } from "./format.js";
import { decision, passport } from "./passport.js";
import { traffic } from "./traffic.js";

const mostVersions = 50;

export function series(a, open) {
  const box = el("details", { class: "series" }), body = el("div", { class: "inside" });
  const fill = current => {
    a = current;
    show(box, el("summary", {},
      el("span", { class: "title" }, el("b", {}, a.name), el("span", { class: "muted" }, `@${a.version}`)),
      el("span", { class: "tags" }, badge(a.kind === "variant" ? "variant" : `rank ${a.rank}`), badge(`of ${a.base}`), residency(a), a.traffic ? badge("traffic is split", "live") : null),
      el("span", { class: "figures" }, highlights(a.metrics).map(([k, v]) => el("span", {}, el("span", { class: "muted" }, metricName(k)), " ", el("b", {}, figure(v))))),
    ), body);
  };
  const gone = () => { box.remove(); document.getElementById("main").focus(); };
  const load = async () => {
    const versions = await Promise.all(a.versions.slice().reverse().slice(0, mostVersions).map(v => get(`/adapters/${name(a.name)}/versions/${v}`)));
    show(body, el("div", { class: "row" },
      link("Try it in the playground", `#/playground?model=${name(a.base)}&with=${name(a.name)}`, { class: "action" }),
      button("Delete all versions…", async () => {
        if (!await confirm(`Delete ${a.name}?`, `All ${a.versions.length} of its versions go, and requests for it become 404. This cannot be taken back.`, "Delete")) return;
        await act(async () => {
          await remove(`/adapters/${name(a.name)}`);
          toast(`${a.name} is deleted`);
          gone();
        });
      }, { class: "danger quiet" })),
    traffic(a, changed), versions.map(v => version(a, v, changed, gone)));
  };
  const changed = async () => {
    fill(await get(`/adapters/${name(a.name)}`));
    await load();
  };
  box.addEventListener("toggle", () => { if (box.open && !body.hasChildNodes()) load().catch(complain); });
  fill(a);
  if (open) unfold(box);
  return box;
}

async function act(work) {
  try {
    await work();
  } catch (error) {
    complain(error);
  }
}

const residency = v => badge(v.pinned ? "pinned on device" : { device: "on device", host: "in memory", disk: "on disk" }[v.residency] || v.residency,
  { device: "good", host: "warm" }[v.residency]);

function version(a, v, changed, gone) {
  const ref = `${v.name}@${v.version}`, at = `/adapters/${name(v.name)}/versions/${v.version}`;
  const current = v.version === a.version;
  const does = (text, work, options) => {
    const b = button(text, async () => {
      await busy(b, () => act(work));
      if (document.activeElement !== document.body) return;
      // What had the focus was drawn anew, or is gone.
      const again = [...document.querySelectorAll(".version")].find(s => s.getAttribute("aria-label") === ref);
      (again ? again.querySelector("button") : document.getElementById("main")).focus();
    }, { class: "small", "aria-label": `${text} ${ref}`, ...options });
    return b;
  };
  const move = what => async () => { await post(`${at}/${what}`); await changed(); };
  const take = (text, path, file) => does(text, () => save(path, file), { class: "small quiet", "aria-label": `Download ${text} of ${ref}` });
  const metrics = Object.entries(v.metrics);
  return el("section", { class: "version", "aria-label": ref },
    el("h3", {}, `@${v.version} `, current ? badge("current", "good") : null, " ", residency(v)),
    el("p", { class: "muted" }, `${ago(v.created_at)} · ${bytes(v.bytes)}`, v.rank ? ` · rank ${v.rank} on ${v.targets.join(", ")}` : "",
      v.job ? [" · ", link(v.job, `#/jobs/${name(v.job)}`)] : ""),
    v.labels.length ? el("p", {}, el("span", { class: "muted" }, "Labels "), v.labels.slice(0, 24).join(", "), v.labels.length > 24 ? ` and ${v.labels.length - 24} more` : "") : null,
    v.gate ? decision(v, at) : null,
    metrics.length ? el("details", {}, el("summary", {}, `${metrics.length} metrics`), table("Metrics", ["Metric", "Value"], metrics.map(([k, x]) => [metricName(k), figure(x)]))) : null,
    passport(ref, at),
    el("div", { class: "row" },
      current ? null : does("Make current", async () => {
        await post(`/adapters/${name(v.name)}/rollback`, { version: v.version });
        toast(`${v.name} now means ${ref}`);
        await changed();
      }),
      v.residency === "device" ? does("Unload", move("unload")) : does("Load", move("load")),
      v.pinned ? does("Unpin", move("unpin")) : does("Pin", move("pin")),
      does("Delete…", async () => {
        const only = a.versions.length === 1;
        if (!await confirm(`Delete ${ref}?`, only ? "It is the only version: the name goes with it." : current ? "It is the current version: the newest that is left takes its place." : "Requests that name it become 404.", "Delete")) return;
        await remove(at);
        toast(`${ref} is deleted`);
        if (only) gone();
        else await changed();
      }, { class: "small danger quiet" })),
    el("div", { class: "row" }, el("span", { class: "muted" }, "Download"),
      Object.keys(v.files).sort().map(f => take(f === "README.md" ? "model card" : f, `${at}/files/${name(f)}`, f)),
      v.kind === "adapter" ? take("merged with its base, .tar", `${at}/merged`, `${v.name}-${v.version}.tar`) : null));
}
