// A curve in SVG: axes with round numbers, and a read-out under the pointer or, with the
// arrow keys, without one.

import { el, show } from "./dom.js";
import { figure } from "./format.js";

const height = 260, left = 52, right = 12, top = 12, bottom = 34;

// ticks are about n round numbers between low and high.
export function ticks(low, high, n) {
  if (!(high > low)) return [low];
  const raw = (high - low) / n, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(m => m * power).find(s => s >= raw);
  const out = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) out.push(Number((i * step).toPrecision(12)));
  return out;
}

// thin leaves so many points that the eye sees no difference: the lowest and the highest
// of each stretch.
export function thin(points, most) {
  if (points.length <= most) return points;
  const out = [], stretch = Math.ceil(points.length / (most / 2));
  for (let i = 0; i < points.length; i += stretch) {
    const part = points.slice(i, i + stretch);
    let low = part[0], high = part[0];
    for (const p of part) {
      if (p[1] < low[1]) low = p;
      if (p[1] > high[1]) high = p;
    }
    out.push(...(low === high ? [low] : low[0] < high[0] ? [low, high] : [high, low]));
  }
  return out;
}

// smooth is a moving mean, which shows where a noisy curve goes.
export function smooth(points, share = 0.9) {
  let mean = 0, weight = 0;
  return points.map(([x, y]) => {
    mean = mean * share + y * (1 - share);
    weight = weight * share + 1 - share;
    return [x, mean / weight];
  });
}

// chart makes a figure; set gives it series of {name, tone, points: [[x, y], …], dots, faint}.
export function chart(title, xName) {
  let series = [], at = null, width = 640, drawn = false;
  const plot = el("div", { class: "plot", tabindex: 0, role: "group", "aria-label": `${title}. Arrow keys read the values.` });
  const readout = el("p", { class: "readout", role: "status" });
  const legend = el("p", { class: "legend", "aria-hidden": "true" });
  const element = el("figure", { class: "chart" }, legend, plot, readout);
  const named = () => series.filter(s => !s.faint && s.points.length);
  let marks = null; // where there are values, once that was asked for
  const steps = () => marks ||= [...new Set(series.flatMap(s => s.points.map(p => p[0])))].sort((a, b) => a - b);
  let x, y, low, high, first, last;

  function draw() {
    drawn = false;
    const ys = series.flatMap(s => s.points.map(p => p[1])).filter(isFinite);
    if (!ys.length) {
      show(legend);
      show(plot, el("p", { class: "muted middle" }, "No values yet."));
      return;
    }
    low = Infinity; high = -Infinity; first = Infinity; last = -Infinity;
    for (const v of ys) { if (v < low) low = v; if (v > high) high = v; }
    for (const s of series) for (const [v] of s.points) { if (v < first) first = v; if (v > last) last = v; }
    if (low > 0 && low < high / 2) low = 0;
    if (low === high) { low -= Math.abs(low) / 10 || 1; high += Math.abs(high) / 10 || 1; }
    const room = (high - low) * 0.06;
    high += room;
    if (low !== 0) low -= room;
    if (first === last) { first -= 1; last += 1; }
    x = v => left + (v - first) / (last - first) * (width - left - right);
    y = v => height - bottom - (v - low) / (high - low) * (height - top - bottom);
    const svg = el("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true", focusable: "false" });
    for (const v of ticks(low, high, 5)) {
      svg.append(el("line", { class: "grid", x1: left, x2: width - right, y1: y(v), y2: y(v) }),
        el("text", { class: "tick", x: left - 8, y: y(v) + 4, "text-anchor": "end" }, figure(v).replace(/\.?0+$/, "") || "0"));
    }
    for (const v of ticks(first, last, Math.max(3, Math.floor(width / 90)))) {
      if (v % 1) continue;
      svg.append(el("line", { class: "axis", x1: x(v), x2: x(v), y1: height - bottom, y2: height - bottom + 4 }),
        el("text", { class: "tick", x: x(v), y: height - bottom + 17, "text-anchor": "middle" }, v.toLocaleString("en")));
    }
    svg.append(el("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }),
      el("text", { class: "tick", x: width - right, y: height - 3, "text-anchor": "end" }, xName));
    for (const s of series) {
      const points = thin(s.points.filter(p => isFinite(p[1])), 1200);
      if (!points.length) continue;
      if (points.length > 1) {
        svg.append(el("path", { class: `curve ${s.tone} ${s.faint ? "faint" : ""}`, d: points.map(([a, b], i) => `${i ? "L" : "M"}${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("") }));
      }
      if (s.dots || points.length === 1) for (const [a, b] of points) svg.append(el("circle", { class: `dot ${s.tone}`, cx: x(a), cy: y(b), r: 3.5 }));
    }
    show(legend, named().map(s => el("span", { class: `key ${s.tone}` }, s.name)));
    show(plot, svg);
    mark();
  }

  // mark draws the line that the read-out is about.
  function mark() {
    const svg = plot.querySelector("svg");
    if (!svg) return;
    svg.querySelectorAll(".mark").forEach(m => m.remove());
    if (at === null) {
      const s = named().map(s => `${s.name} ${figure(s.points.at(-1)[1])}`);
      readout.textContent = s.length ? `${xName} ${last.toLocaleString("en")}: ${s.join(", ")}` : "";
      return;
    }
    svg.append(el("line", { class: "mark", x1: x(at), x2: x(at), y1: top, y2: height - bottom }));
    const values = [];
    for (const s of series) {
      const p = s.points.find(p => p[0] === at);
      if (!p || !isFinite(p[1])) continue;
      if (!s.faint) svg.append(el("circle", { class: `mark dot ${s.tone}`, cx: x(p[0]), cy: y(p[1]), r: 4.5 }));
      values.push(`${s.name} ${figure(p[1])}`);
    }
    readout.textContent = `${xName} ${at.toLocaleString("en")}: ${values.join(", ")}`;
  }

  const nearest = v => steps().reduce((best, s) => best === null || Math.abs(s - v) < Math.abs(best - v) ? s : best, null);
  plot.addEventListener("pointermove", e => {
    const svg = plot.querySelector("svg");
    if (!svg || !x) return;
    const box = svg.getBoundingClientRect();
    at = nearest(first + ((e.clientX - box.left) / box.width * width - left) / (width - left - right) * (last - first));
    mark();
  });
  plot.addEventListener("pointerleave", () => { at = null; mark(); });
  plot.addEventListener("blur", () => { at = null; mark(); });
  plot.addEventListener("keydown", e => {
    const all = steps();
    if (!all.length) return;
    const i = at === null ? all.length - 1 : all.indexOf(at);
    const to = { ArrowLeft: i - 1, ArrowRight: i + 1, Home: 0, End: all.length - 1, PageUp: i - 10, PageDown: i + 10 }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    at = all[Math.max(0, Math.min(all.length - 1, to))];
    mark();
  });
  const observer = new ResizeObserver(() => {
    const w = Math.max(240, Math.floor(plot.clientWidth));
    if (w !== width) { width = w; draw(); }
  });
  observer.observe(plot);
  return {
    element,
    set(s) {
      series = s;
      marks = null;
      if (!drawn) { drawn = true; requestAnimationFrame(draw); } // however many events come, one drawing a frame
    },
    end: () => observer.disconnect(),
  };
}
