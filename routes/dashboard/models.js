// Bases, and the adapters and variants made for them.

import { badge, busy, button, complain, confirm, el, empty, link, meter, show, table, toast } from "./dom.js";
import { all, get, name, post, remove, send } from "./api.js";
import { ago, bytes, count, figure, metricName } from "./format.js";

const tasks = { "text-classification": "scores texts", "text2text-generation": "writes texts", "text-generation": "writes texts" };

export default async function models(root, _, signal) {
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
  show(adapters, made.map(a => series(a)));
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

export const pair = (term, value) => el("div", {}, el("dt", {}, term), el("dd", {}, value));

// series is one name: its current version in one line, all of them behind it.
function series(a) {
  const box = el("details", { class: "series" });
  const fill = current => {
    a = current;
    const best = highlights(a.metrics);
    show(box, el("summary", {},
      el("span", { class: "title" }, el("b", {}, a.name), el("span", { class: "muted" }, `@${a.version}`)),
      el("span", { class: "tags" }, badge(a.kind === "variant" ? "variant" : `rank ${a.rank}`), badge(`of ${a.base}`), residency(a)),
      el("span", { class: "figures" }, best.map(([k, v]) => el("span", {}, el("span", { class: "muted" }, metricName(k)), " ", el("b", {}, figure(v))))),
    ), body);
  };
  const body = el("div", { class: "inside" });
  const load = async () => {
    const versions = await Promise.all(a.versions.slice().reverse().slice(0, 50).map(v => get(`/adapters/${name(a.name)}/versions/${v}`)));
    show(body, el("div", { class: "row" },
      link("Try it in the playground", `#/playground?model=${name(a.base)}&with=${name(a.name)}`, { class: "action" }),
      button("Delete all versions…", async () => {
        if (!await confirm(`Delete ${a.name}?`, `All ${a.versions.length} of its versions go, and requests for it become 404. This cannot be taken back.`, "Delete")) return;
        await act(async () => {
          await remove(`/adapters/${name(a.name)}`);
          toast(`${a.name} is deleted`);
          box.remove();
          document.getElementById("main").focus();
        });
      }, { class: "danger quiet" })),
    versions.map(v => version(a, v, async () => {
      fill(await get(`/adapters/${name(a.name)}`));
      await load();
    }, () => box.remove())));
  };
  box.addEventListener("toggle", () => { if (box.open && !body.hasChildNodes()) load().catch(complain); });
  fill(a);
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
  const at = `/adapters/${name(v.name)}/versions/${v.version}`;
  const current = v.version === a.version;
  const does = (text, work, options) => {
    const b = button(text, async () => {
      await busy(b, () => act(work));
      if (document.activeElement !== document.body) return;
      // What had the focus was drawn anew, or is gone.
      const again = [...document.querySelectorAll(".version")].find(s => s.getAttribute("aria-label") === `${v.name}@${v.version}`);
      (again ? again.querySelector("button") : document.getElementById("main")).focus();
    }, { class: "small", "aria-label": `${text} ${v.name}@${v.version}`, ...options });
    return b;
  };
  const move = what => async () => { await post(`${at}/${what}`); await changed(); };
  const metrics = Object.entries(v.metrics);
  return el("section", { class: "version", "aria-label": `${v.name}@${v.version}` },
    el("h3", {}, `@${v.version} `, current ? badge("current", "good") : null, " ", residency(v)),
    el("p", { class: "muted" }, `${ago(v.created_at)} · ${bytes(v.bytes)}`, v.rank ? ` · rank ${v.rank} on ${v.targets.join(", ")}` : "",
      v.job ? [" · ", link(v.job, `#/jobs/${name(v.job)}`)] : ""),
    v.labels.length ? el("p", {}, el("span", { class: "muted" }, "Labels "), v.labels.slice(0, 24).join(", "), v.labels.length > 24 ? ` and ${v.labels.length - 24} more` : "") : null,
    metrics.length ? el("details", {}, el("summary", {}, `${metrics.length} metrics`), table("Metrics", ["Metric", "Value"], metrics.map(([k, x]) => [metricName(k), figure(x)]))) : null,
    el("div", { class: "row" },
      current ? null : does("Make current", async () => {
        await post(`/adapters/${name(v.name)}/rollback`, { version: v.version });
        toast(`${v.name} now means ${v.name}@${v.version}`);
        await changed();
      }),
      v.residency === "device" ? does("Unload", move("unload")) : does("Load", move("load")),
      v.pinned ? does("Unpin", move("unpin")) : does("Pin", move("pin")),
      Object.keys(v.files).map(f => does(f, () => save(`${at}/files/${name(f)}`, f), { class: "small quiet", "aria-label": `Download ${f} of ${v.name}@${v.version}` })),
      does("Delete…", async () => {
        const only = a.versions.length === 1;
        if (!await confirm(`Delete ${v.name}@${v.version}?`, only ? "It is the only version: the name goes with it." : current ? "It is the current version: the newest that is left takes its place." : "Requests that name it become 404.", "Delete")) return;
        await remove(at);
        toast(`${v.name}@${v.version} is deleted`);
        if (only) gone();
        else await changed();
      }, { class: "small danger quiet" })));
}

// save downloads a file; a plain link could not send the key.
async function save(path, file) {
  const blob = await (await send("GET", path)).blob();
  const address = URL.createObjectURL(blob);
  el("a", { href: address, download: file }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

// highlights are the one or two metrics that tell most.
export function highlights(metrics) {
  const order = ["eval_accuracy", "eval_f1", "eval_rougeL", "eval_bleu", "eval_exact_match", "eval_token_accuracy", "eval_pearson", "eval_loss", "train_loss"];
  return order.filter(k => metrics && k in metrics).slice(0, 2).map(k => [k, metrics[k]]);
}

