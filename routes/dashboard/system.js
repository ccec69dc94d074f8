// The queue, who works on it, and the process itself.

import { badge, el, empty, meter, pair, show, table } from "./dom.js";
import { get } from "./api.js";
import { bytes, count, duration } from "./format.js";

export default async function system(root, _, signal) {
  const queue = el("div"), process = el("div");
  show(root, el("h1", {}, "System"), el("h2", {}, "Queue and workers"), queue, el("h2", {}, "Service"), process);
  let timer;
  signal.addEventListener("abort", () => clearTimeout(timer));
  async function refresh() {
    try {
      const [q, i] = await Promise.all([get("/tune/queue", { signal }).catch(error => { if (error.problem && error.problem.status === 403) return null; throw error; }), get("/info", { signal })]);
      drawQueue(queue, q);
      drawProcess(process, i);
    } finally {
      if (!signal.aborted) timer = setTimeout(() => refresh().catch(() => {}), 3000);
    }
  }
  await refresh();
}

function drawQueue(place, q) {
  if (!q) {
    show(place, el("p", { class: "empty" }, "Your key may not see the queue: that takes the scope tune."));
    return;
  }
  show(place, el("div", { class: "cards" }, q.classes.map(c => el("article", { class: "card" },
    el("h3", {}, `Class ${c.class}`),
    el("dl", {}, pair("Waiting", count(c.queued)), pair("Running", count(c.running)), c.queued ? pair("Oldest waits", duration(c.oldest_seconds)) : null, pair("Workers", count(c.workers))),
    c.slots ? el("div", { class: "slots" }, meter(c.busy / c.slots, "Workers in use"), el("span", { class: "muted" }, `${c.busy} of ${c.slots} places in use`)) : null))),
  q.workers.length ? table("Workers", ["Worker", "Host", "Class", "Jobs", "Last heard of"], q.workers.map(w => [el("code", {}, w.id), w.host, w.class, `${w.busy} of ${w.slots}`,
    badge(w.seen_seconds < 15 ? "just now" : `${duration(w.seen_seconds)} ago`, w.seen_seconds < 60 ? "good" : "bad")]))
    : q.classes.some(c => c.workers) ? null : empty("No worker is running", "Jobs wait until one comes. A worker beside the API:", "service worker --redis redis://HOST:6379/0 --store STORE"));
}

function drawProcess(place, i) {
  show(place, el("dl", { class: "facts" }, pair("Version", `${i.name} ${i.version}`), pair("Backend", i.backend), pair("Up for", duration(i.uptime_seconds)), pair("Go", i.go), pair("GoMLX", i.gomlx),
    pair("Texts a request", count(i.limits.inputs)), pair("Largest data set", bytes(i.limits.dataset_bytes)), pair("Largest adapter", bytes(i.limits.adapter_bytes)), pair("Longest answer", `${count(i.limits.new_tokens)} tokens`)));
}
