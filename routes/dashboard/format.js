// Numbers, sizes and times as people read them.

export function count(n) {
  if (n === undefined || n === null) return "–";
  if (Math.abs(n) >= 1e9) return (n / 1e9).toFixed(1) + " B";
  if (Math.abs(n) >= 1e6) return (n / 1e6).toFixed(1) + " M";
  return Number(n).toLocaleString("en");
}

export function bytes(n) {
  for (const unit of ["B", "KiB", "MiB"]) {
    if (n < 1024) return `${unit === "B" ? n : n.toFixed(1)} ${unit}`;
    n /= 1024;
  }
  return `${n.toFixed(1)} GiB`;
}

export function duration(seconds) {
  if (seconds === undefined || seconds === null || !isFinite(seconds)) return "–";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export const ms = n => n >= 1000 ? `${(n / 1000).toFixed(2)} s` : `${n < 10 ? n.toFixed(1) : Math.round(n)} ms`;

export const ago = time => {
  const s = (Date.now() - new Date(time)) / 1000;
  return s < 5 ? "just now" : `${duration(s)} ago`;
};

// figure is a metric: enough digits to compare, none that mean nothing.
export function figure(v) {
  if (v === undefined || v === null) return "–";
  if (v === 0) return "0";
  const a = Math.abs(v);
  if (a >= 1e5 || a < 1e-3) return v.toExponential(2).replace("e-", "e−").replace("e+", "e");
  return a >= 100 ? v.toFixed(1) : a >= 10 ? v.toFixed(2) : v.toFixed(3);
}

// metricName is eval_token_accuracy as people say it.
export const metricName = key => key.replace(/^eval_/, "").replace(/^base_/, "base ").replaceAll("_", " ");

// highlights are the one or two metrics that tell most.
export function highlights(metrics) {
  const order = ["eval_accuracy", "eval_f1", "eval_rougeL", "eval_bleu", "eval_exact_match", "eval_token_accuracy", "eval_pearson", "eval_loss", "train_loss"];
  return order.filter(k => metrics && k in metrics).slice(0, 2).map(k => [k, metrics[k]]);
}

// percent is a share from 0 to 1.
export const percent = share => `${Number((100 * share).toPrecision(3))} %`;
