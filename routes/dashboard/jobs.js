// The jobs, the newest first, kept up to date while some are not over.

import { badge, button, complain, el, empty, link, meter, show, table } from "./dom.js";
import { get, name } from "./api.js";
import { ago, duration, figure, highlights } from "./format.js";

export const kinds = { lora: "LoRA", full: "full tune", instruction: "instruction tune" };
export const tones = { queued: "wait", running: "live", paused: "warm", succeeded: "good", failed: "bad", cancelled: "" };
export const over = j => ["succeeded", "failed", "cancelled"].includes(j.status);

export default async function jobs(root, _, signal) {
  const status = el("select", { id: "status", onchange: () => refresh(true) }, ["all", "queued", "running", "paused", "succeeded", "failed", "cancelled"].map(s => el("option", {}, s)));
  const list = el("div"), more = el("div", { class: "row" });
  show(root, el("h1", {}, "Jobs"), el("div", { class: "row toolbar" }, el("label", { for: "status" }, "Status"), status, link("New tune", "#/tune", { class: "action" })), list, more);
  let size = 20, timer;
  signal.addEventListener("abort", () => clearTimeout(timer));
  async function refresh(said) {
    clearTimeout(timer);
    const filter = status.value === "all" ? "" : `&status=${status.value}`;
    try {
      const page = await get(`/tune/jobs?limit=${size}${filter}`, { signal });
      draw(page, filter);
      timer = setTimeout(refresh, page.data.some(j => !over(j)) ? 2000 : 15000);
    } catch (error) {
      if (signal.aborted) return;
      if (said) complain(error);
      timer = setTimeout(refresh, 5000);
    }
  }
  function draw(page, filter) {
    const focused = document.activeElement && document.activeElement.getAttribute("href"); // what is drawn anew keeps the focus
    if (!page.data.length) {
      show(list, filter ? el("p", { class: "empty" }, `No job is ${status.value}.`)
        : empty("No jobs yet", "A job tunes an adapter, or a whole model, on rows of yours.", `curl ${location.origin}/tune/lora -H 'Content-Type: application/json' \\\n  -d '{"model": "tiny-bert", "name": "sentiment", "dataset": {"id": "ds_…"}}'`));
    } else {
      show(list, table("Jobs", ["Job", "Status", "Progress", "Result", "Created"], page.data.map(j => [
        [link(j.name, `#/jobs/${name(j.id)}`), el("span", { class: "muted block" }, `${kinds[j.kind]} of ${j.model}`)],
        badge(j.phase && j.status === "running" ? j.phase : j.status, tones[j.status]), progress(j), result(j), el("span", { class: "muted" }, ago(j.created_at))])));
    }
    show(more, page.has_more && size < 100 ? button("Show more", () => { size = 100; refresh(true); }) : null);
    if (focused) [...list.querySelectorAll("a")].find(a => a.getAttribute("href") === focused)?.focus();
  }
  await refresh(true);
}

function progress(j) {
  if (j.status === "queued") return el("span", { class: "muted" }, j.queue_position ? `${j.queue_position} in the queue` : "waits");
  const p = j.progress;
  if (!p || over(j)) return el("span", { class: "muted" }, j.finished_at && j.started_at ? "took " + duration((new Date(j.finished_at) - new Date(j.started_at)) / 1000) : "–");
  return el("span", { class: "progress" }, meter(p.percent / 100, `Progress of ${j.name}`), el("span", { class: "muted" }, `${Math.round(p.percent)} %${p.eta_seconds ? `, ${duration(p.eta_seconds)} left` : ""}`));
}

function result(j) {
  if (j.error) return el("span", { class: "bad" }, j.error.message);
  if (!j.result) return j.progress ? `loss ${figure(j.progress.loss)}` : "–";
  const best = highlights(j.metrics)[0];
  return [el("b", {}, j.result.adapter), j.result.promoted === false ? [" ", badge("held back", "warm")] : null, best ? el("span", { class: "muted block" }, `${best[0].replace("eval_", "").replaceAll("_", " ")} ${figure(best[1])}`) : null];
}
