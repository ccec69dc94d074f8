// One job: its curves and its log as they happen.

import { badge, busy, button, complain, confirm, el, link, meter, pair, show, table, toast, visit } from "./dom.js";
import { get, name, post, remove, send } from "./api.js";
import { follow } from "./sse.js";
import { chart, smooth } from "./chart.js";
import { ago, bytes, duration, figure, metricName } from "./format.js";
import { kinds, over, tones } from "./jobs.js";

const curves = { loss: "Loss", learning_rate: "Learning rate", grad_norm: "Gradient norm", samples_per_second: "Rows a second" };
const logged = 500; // lines kept on the page

export default async function job(root, [id], signal) {
  const path = `/tune/jobs/${name(id)}`;
  let j = await get(path, { signal });
  const head = el("div", { class: "head" }), extra = el("div"), state = el("span", { class: "muted", role: "status" }), said = el("p", { class: "hidden", role: "status" });
  const log = el("div", { class: "log", role: "log", "aria-live": "off", "aria-label": "Log", tabindex: 0 });
  const picture = chart("Curves of the job", "step");
  signal.addEventListener("abort", picture.end);
  const steps = [], evaluations = [];
  const choice = el("select", { id: "curve", onchange: draw }, Object.entries(curves).map(([k, v]) => el("option", { value: k }, v)));
  show(root, said, head,
    el("section", { class: "panel" }, el("div", { class: "row toolbar" }, el("h2", {}, "Curves"), el("label", { for: "curve", class: "hidden" }, "Curve"), choice, state), picture.element),
    extra, el("section", { class: "panel" }, el("h2", {}, "Log"), log),
    el("details", { class: "panel" }, el("summary", {}, "What was asked for"), el("pre", { tabindex: 0, role: "group", "aria-label": "The request" }, JSON.stringify(j.spec, null, 2))));

  function draw() {
    const [kind, metric] = choice.value.startsWith("eval ") ? ["eval", choice.value.slice(5)] : ["step", choice.value];
    if (kind === "eval") {
      picture.set([{ name: metricName(metric), tone: "two", dots: true, points: evaluations.filter(e => metric in e.metrics).map(e => [e.step, e.metrics[metric]]) }]);
      return;
    }
    const points = steps.map(s => [s.step, s[metric]]);
    const noisy = metric === "loss" && points.length > 80;
    const series = noisy ? [{ name: "this step", tone: "one", faint: true, points }, { name: "smoothed training loss", tone: "one", points: smooth(points) }]
      : [{ name: metric === "loss" ? "training loss" : curves[metric].toLowerCase(), tone: "one", points }];
    if (metric === "loss") series.push({ name: "loss on rows held back", tone: "two", dots: true, points: evaluations.filter(e => "eval_loss" in e.metrics).map(e => [e.step, e.metrics.eval_loss]) });
    picture.set(series);
  }

  function say(time, type, text, tone) {
    const end = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
    log.append(el("div", {}, el("time", { datetime: time || undefined }, time ? new Date(time).toLocaleTimeString() : ""), badge(type, tone), el("span", {}, text)));
    while (log.children.length > logged) log.firstElementChild.remove();
    if (end) log.scrollTop = log.scrollHeight;
  }

  // take adds one event; true when it is the last.
  function take(e) {
    const d = JSON.parse(e.data);
    switch (e.event) {
      case "step":
        if (steps.length && d.step <= steps.at(-1).step) steps.splice(steps.findIndex(s => s.step >= d.step)); // a new attempt repeats steps
        steps.push(d);
        say("", "step", `${d.step} of ${d.total_steps}: loss ${figure(d.loss)}, ${figure(d.samples_per_second)} rows/s`);
        if (!over(j)) j = { ...j, progress: { ...j.progress, step: d.step, total_steps: d.total_steps, percent: 100 * d.step / d.total_steps, loss: d.loss } };
        break;
      case "eval":
        evaluations.push(d);
        for (const k of Object.keys(d.metrics)) {
          if (k !== "eval_loss" && ![...choice.options].some(o => o.value === `eval ${k}`)) choice.append(el("option", { value: `eval ${k}` }, metricName(k)));
        }
        say("", "eval", `at step ${d.step}: ${Object.entries(d.metrics).slice(0, 6).map(([k, v]) => `${metricName(k)} ${figure(v)}`).join(", ")}${d.best ? " (best so far)" : ""}`, "live");
        break;
      case "status":
        say("", d.status, [d.phase, d.message, d.attempt ? `attempt ${d.attempt}` : ""].filter(Boolean).join(", "), tones[d.status]);
        refresh();
        break;
      default:
        say("", e.event, d.step !== undefined ? `at step ${d.step}` : "");
    }
    soon();
    return e.event === "status" && over(d);
  }

  // soon draws once a frame, however many events come: a long job replays a hundred thousand.
  let waiting = false;
  function soon() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
      title();
    });
  }

  async function refresh() {
    try {
      j = await get(path, { signal });
      title();
      if (over(j)) await rest();
    } catch (error) {
      if (!signal.aborted) complain(error);
    }
  }

  const act = what => button({ cancel: "Cancel…", pause: "Pause", resume: "Resume" }[what], e => busy(e.target, async () => {
    if (what === "cancel" && !await confirm(`Cancel ${j.name}?`, "It ends for good. To go on later, pause it instead.", "Cancel the job")) return;
    try {
      j = await post(`${path}/${what}`);
      toast({ cancel: "Cancelled", pause: "Pausing: it writes a checkpoint first", resume: "Back in the queue" }[what]);
    } catch (error) {
      complain(error);
    }
    await refresh();
  }), { class: what === "cancel" ? "danger quiet" : "" });

  const forget = button("Delete…", () => busy(forget, async () => {
    if (!await confirm(`Delete the job ${j.name}?`, `Its curves, log and checkpoints go.${j.result ? ` ${j.result.adapter} stays.` : ""}`, "Delete")) return;
    try {
      await remove(path);
    } catch (error) {
      return complain(error);
    }
    toast("The job is deleted");
    visit("#/jobs");
    document.getElementById("main").focus();
  }), { class: "danger quiet" });

  let drawn = "";
  const bar = el("div"), facts = el("dl", { class: "facts" });
  function title() {
    const p = j.progress || {};
    const now = `${j.status} ${j.phase}`; // the buttons are drawn anew only then, to keep the focus
    if (now !== drawn) {
      drawn = now;
      said.textContent = `${j.name} is ${j.status}`;
      show(head, el("p", { class: "crumb" }, link("Jobs", "#/jobs"), " / ", el("span", { class: "muted" }, j.id)),
        el("div", { class: "row toolbar" }, el("h1", {}, j.name, " ", badge(j.phase && j.status === "running" ? j.phase : j.status, tones[j.status])),
          ["queued", "running"].includes(j.status) ? act("pause") : null, j.status === "paused" ? act("resume") : null, over(j) ? forget : act("cancel"),
          j.result ? link("Try it in the playground", `#/playground?model=${name(j.model)}&with=${name(j.result.promoted === false ? j.result.adapter : j.result.adapter.split("@")[0])}`, { class: "action primary" }) : null),
        j.result && j.result.promoted !== undefined ? el("p", { class: `gate ${j.result.promoted ? "good" : "warm"}` }, badge(j.result.promoted ? "passed its gate" : "held back by its gate", j.result.promoted ? "good" : "warm"), " ", j.result.reason) : null,
        j.error ? el("div", { class: "panel bad", role: "alert" }, el("b", {}, j.error.message), j.error.hint ? el("p", {}, j.error.hint) : null) : null,
        bar, facts);
    }
    if (over(j)) show(bar);
    else show(bar, el("div", { class: "progress" }, meter((p.percent || 0) / 100, "Progress"), el("span", { class: "muted" }, j.status === "queued" ? j.queue_position ? `${j.queue_position} in the queue` : "waits for a worker" : `${Math.round(p.percent || 0)} %`)));
    show(facts, pair("Tune", `${kinds[j.kind]} of ${j.model}`), j.result ? pair("Registered", link(j.result.adapter, `#/models/${name(j.result.adapter.split("@")[0])}`)) : null,
      p.step ? pair("Step", `${p.step} of ${p.total_steps}`) : null, p.loss !== undefined ? pair("Loss", figure(p.loss)) : null,
      !over(j) && p.eta_seconds ? pair("Left", duration(p.eta_seconds)) : null, j.attempt > 1 ? pair("Attempt", j.attempt) : null,
      j.started_at && j.finished_at ? pair("Took", duration((new Date(j.finished_at) - new Date(j.started_at)) / 1000)) : pair("Created", ago(j.created_at)));
  }

  async function rest() {
    const kept = await get(`${path}/checkpoints`, { signal });
    const metrics = Object.entries(j.metrics || {});
    show(extra, metrics.length ? el("section", { class: "panel" }, el("h2", {}, "Metrics"), el("dl", { class: "facts" }, metrics.map(([k, v]) => pair(metricName(k), figure(v))))) : null,
      kept.data.length ? el("details", { class: "panel" }, el("summary", {}, `${kept.data.length} checkpoints`), table("Checkpoints", ["Step", "Attempt", "Size", "Note"],
        kept.data.map(c => [c.step, c.attempt, bytes(c.bytes), c.best ? badge("best", "good") : ""]))) : null);
  }

  title();
  draw();
  if (over(j)) rest().catch(complain);
  follow(headers => send("GET", `${path}/events`, { headers, signal }), {
    signal, onEvent: take,
    onState: s => { state.textContent = s === "live" ? over(j) ? "" : "live" : "connection lost, trying again"; },
  }).then(() => { state.textContent = ""; }).catch(complain);
}
