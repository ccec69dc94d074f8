// Making elements. Whatever comes from the API goes in as text, never as HTML.

const svgNames = new Set(["svg", "path", "line", "circle", "rect", "g", "text", "polyline", "title"]);

// el makes an element. Attributes that begin with "on" are listeners; false, null and
// undefined leave an attribute out. Children are elements, texts, or lists of both.
export function el(name, attributes, ...children) {
  const e = svgNames.has(name) ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [k, v] of Object.entries(attributes || {})) {
    if (v === undefined || v === null || v === false) continue;
    if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
    else if (k === "value" && "value" in e) e.value = v;
    else e.setAttribute(k, v === true ? "" : String(v));
  }
  put(e, ...children);
  return e;
}

// put appends children, passing over what is not there.
export function put(parent, ...children) {
  for (const c of children.flat(Infinity)) {
    if (c !== undefined && c !== null && c !== false) parent.append(c instanceof Node ? c : String(c));
  }
  return parent;
}

// show replaces what an element holds.
export function show(parent, ...children) {
  parent.replaceChildren();
  return put(parent, ...children);
}

let made = 0;

// unique gives an id that nothing else on the page has.
export const unique = prefix => `${prefix}-${++made}`;

// button, link and badge are what most views are made of.
export const button = (text, act, attributes) => el("button", { type: "button", onclick: act, ...attributes }, text);
export const link = (text, href, attributes) => el("a", { href, ...attributes }, text);
export const badge = (text, tone) => el("span", { class: `badge ${tone || ""}` }, text);

// pair is a term with its value, for a <dl>; field an input with its label.
export const pair = (term, value) => el("div", {}, el("dt", {}, term), el("dd", {}, value));
export function field(label, input, ...more) {
  input.id ||= unique("field");
  return el("div", { class: "field" }, el("label", { for: input.id }, label), input, more);
}

// visit goes to an address of the page, also to the one that is shown: it is read anew.
export function visit(hash) {
  if (location.hash === hash) dispatchEvent(new HashChangeEvent("hashchange"));
  else location.hash = hash;
}

// unfold opens a <details> that is about to be shown, and goes there.
export function unfold(box) {
  box.open = true;
  requestAnimationFrame(() => { box.firstElementChild.focus(); box.scrollIntoView({ block: "start" }); });
}

// busy disables a button while its work goes on.
export async function busy(b, work) {
  b.disabled = true;
  b.setAttribute("aria-busy", "true");
  try {
    return await work();
  } finally {
    b.disabled = false;
    b.removeAttribute("aria-busy");
  }
}

// meter is a bar from 0 to 1.
export function meter(share, label, tone) {
  const filled = el("span", { class: `fill ${tone || ""}` });
  filled.style.width = `${Math.max(0, Math.min(1, share || 0)) * 100}%`;
  return el("span", { class: "meter", role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100,
    "aria-valuenow": Math.round((share || 0) * 100) }, filled);
}

// table has its heads read out before each cell on a phone, where it becomes a list.
export function table(caption, heads, rows) {
  return el("table", {}, el("caption", { class: "hidden" }, caption),
    el("thead", {}, el("tr", {}, heads.map(h => el("th", { scope: "col" }, h)))),
    el("tbody", {}, rows.map(cells => el("tr", {}, cells.map((c, i) => el("td", { "data-head": heads[i] }, el("div", {}, c)))))));
}

// empty says what is not there, and what to do about it.
export function empty(title, text, curl, ...more) {
  return el("div", { class: "empty" }, el("h3", {}, title), text ? el("p", {}, text) : null, curl ? command(curl) : null, more);
}

// command is a line for a shell, with a button that copies it.
export function command(text) {
  const copy = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(code);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      copy.textContent = "Selected";
    }
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  }, { class: "quiet small", "aria-label": "Copy the command" });
  const code = el("code", {}, text);
  return el("div", { class: "command" }, el("pre", { tabindex: 0, role: "group", "aria-label": "Command" }, code), copy);
}

// toast tells something for a while; an error stays until it is dismissed.
export function toast(title, { detail, faults, tone } = {}) {
  const box = el("div", { class: `toast ${tone || ""}`, role: tone === "bad" ? "alert" : "status" },
    el("div", { class: "grow" }, el("strong", {}, title), detail ? el("p", {}, detail) : null, faults && faults.length > 1 ? faultList(faults) : null),
    button("×", () => box.remove(), { class: "quiet small", "aria-label": "Dismiss" }));
  const all = document.getElementById("toasts");
  all.append(box);
  while (all.children.length > 4) all.firstElementChild.remove();
  if (tone !== "bad") setTimeout(() => box.remove(), 5000);
}

// faultList names every mistake with its line and its field.
export function faultList(faults) {
  return el("ul", { class: "faults" }, faults.map(f => el("li", {},
    f.line ? el("b", {}, `line ${f.line}`) : null, f.line ? " " : null,
    f.field ? el("code", {}, f.field) : null, f.field ? " " : null, f.reason)));
}

// complain shows what went wrong with a request.
export function complain(error, what) {
  if (!error || error.name === "AbortError") return;
  const p = error.problem;
  toast(p ? p.title || what || "Error" : what || "Error", { tone: "bad", detail: p ? p.detail : String(error.message || error), faults: p && p.errors });
}

// confirm asks before something that cannot be taken back. Escape is no.
export function confirm(title, text, yes) {
  return new Promise(done => {
    const id = unique("confirm");
    const dialog = el("dialog", { "aria-labelledby": id }, el("h2", { id }, title), el("p", {}, text),
      el("div", { class: "row end" },
        button("Keep it", () => dialog.close("no"), { autofocus: true }),
        button(yes, () => dialog.close("yes"), { class: "danger" })));
    const before = document.activeElement;
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (before && before.isConnected) before.focus();
      done(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
