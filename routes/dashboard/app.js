// The frame: sections by the address's hash, the API key, and how the service is.

import { button, el, put, show, toast, unique } from "./dom.js";
import { get, key, onKeyWanted } from "./api.js";
import { duration } from "./format.js";
import playground from "./playground.js";
import models from "./models.js";
import datasets from "./datasets.js";
import tune from "./tune.js";
import jobs from "./jobs.js";
import job from "./job.js";
import system from "./system.js";

// A view is shown in an element and gets what follows its name in the address, and a
// signal that ends when another view takes its place.
const sections = [
  ["playground", "Playground", playground],
  ["models", "Models", models],
  ["datasets", "Data", datasets],
  ["tune", "Tune", tune],
  ["jobs", "Jobs", (root, rest, signal) => (rest[0] ? job : jobs)(root, rest, signal)],
  ["system", "System", system],
];

const main = document.getElementById("main");
const nav = document.getElementById("nav");
for (const [name, title] of sections) put(nav, el("li", {}, el("a", { href: `#/${name}` }, title)));

const footer = document.getElementById("about");
let leave = new AbortController(), shown = "";

async function route(focus) {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/").map(decode);
  const [at, title, view] = sections.find(s => s[0] === name) || sections[0];
  for (const a of nav.querySelectorAll("a")) {
    if (a.getAttribute("href") === `#/${at}`) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  document.title = `${rest[0] ? `${rest[0]} · ` : ""}${title} · lorikeet`;
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const root = el("div", { class: `view ${at}` });
  show(main, root);
  if (focus && at !== shown) main.focus({ preventScroll: true });
  shown = at;
  mayAsk = true;
  try {
    await view(root, rest, signal, new URLSearchParams(query));
    if (!footer.textContent) about();
  } catch (error) {
    if (signal.aborted || error.name === "AbortError") return;
    const p = error.problem;
    show(root, el("div", { class: "empty", role: "alert" }, el("h1", {}, p ? p.title : "This cannot be shown"), el("p", {}, p ? p.detail : error.message),
      button("Try again", () => route())));
  }
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

addEventListener("hashchange", () => route(true));

// askKey shows the dialog for the key; true when there is a new one. However many requests
// want one at the same time, it is asked for once.
let asking = null;
function askKey(why) {
  asking ||= new Promise(done => {
    const id = unique("key"), note = unique("note");
    const input = el("input", { id, type: "password", autocomplete: "off", spellcheck: "false", value: key.get(), placeholder: "lk_…", "aria-describedby": note, autofocus: true });
    const close = value => { dialog.returnValue = value; dialog.close(value); };
    const save = () => { key.set(input.value.trim()); close("saved"); };
    const dialog = el("dialog", { "aria-label": "API key" },
      el("h2", {}, "API key"),
      el("p", { id: note }, why || "Sent with every request as Authorization: Bearer. It is kept in this tab until you close it."),
      el("label", { for: id }, "Key"), input,
      el("p", { class: "muted" }, "Made on the server: ", el("code", {}, "service keys create --name me --scope admin")),
      el("div", { class: "row end" },
        key.get() ? button("Forget it", () => { key.set(""); close("saved"); }) : null,
        button("Cancel", () => close("no")), button("Use this key", save, { class: "primary" })));
    input.addEventListener("keydown", e => { if (e.key === "Enter") save(); });
    const before = document.activeElement;
    dialog.addEventListener("close", () => {
      dialog.remove();
      asking = null;
      if (before && before.isConnected) before.focus();
      done(dialog.returnValue === "saved");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
  return asking;
}

// One visit to a section asks once: what is refreshed by itself must not ask again and again
// whoever has said no.
let mayAsk = true;
onKeyWanted(async () => {
  if (asking) return asking;
  if (!mayAsk) return false;
  mayAsk = false;
  return askKey(key.get() ? "The service does not accept this key any more. Give another one." : "This service asks for an API key. It is kept in this tab until you close it, and sent with every request.");
});
document.getElementById("key").addEventListener("click", async () => {
  if (await askKey()) {
    toast(key.get() ? "The key is used from now on" : "The key is forgotten");
    route();
  }
});

// The state of the service stands in the head. It is said again only when it changes.
const health = document.getElementById("health");
let was = "";
async function pulse() {
  let text, tone = "wait";
  try {
    const r = await fetch("/readyz", { cache: "no-store" });
    if (r.ok) [text, tone] = ["Ready", "good"];
    else text = (await r.json()).detail.includes("shutting down") ? "Stopping" : "Loading";
  } catch {
    [text, tone] = ["Not reachable", "bad"];
  }
  if (text !== was) {
    show(health, el("span", { class: `led ${tone}` }), el("span", { class: "word" }, text));
    if (was && text === "Ready") route();
    was = text;
  }
  setTimeout(pulse, text === "Ready" ? 10000 : 1500);
}

async function about() {
  try {
    const i = await get("/info");
    footer.textContent = `${i.name} ${i.version} on ${i.backend}, up ${duration(i.uptime_seconds)}`;
  } catch { /* the footer can do without */ }
}

pulse();
route();
