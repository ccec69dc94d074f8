// Requests. A problem (RFC 9457) of the service is thrown as an Error with `problem`.

const place = "lorikeet.key";

export const key = {
  get: () => sessionStorage.getItem(place) || "",
  set: value => value ? sessionStorage.setItem(place, value) : sessionStorage.removeItem(place),
};

let ask = async () => false; // asks the user for a key; true when there is a new one
export const onKeyWanted = f => { ask = f; };

class APIError extends Error {
  constructor(problem) {
    super(problem.detail || problem.title);
    this.problem = problem;
  }
}

async function refusal(response) {
  let problem;
  try {
    problem = JSON.parse(await response.text());
  } catch { /* a proxy's page, not ours */ }
  if (!problem || !problem.title) problem = { title: `Status ${response.status}`, status: response.status, detail: response.statusText || "the answer is not of this service", errors: [] };
  return new APIError(problem);
}

const authorized = headers => key.get() ? { ...headers, Authorization: `Bearer ${key.get()}` } : headers || {};

// send makes a request and gives the response, or throws.
export async function send(method, path, { body, headers, signal } = {}) {
  for (let asked = false; ; asked = true) {
    const head = authorized(headers);
    if (body !== undefined) head["Content-Type"] = "application/json";
    const used = key.get();
    let response;
    try {
      response = await fetch(path, { method, headers: head, signal, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error("The service does not answer.", { cause: error });
    }
    if (response.ok) return response;
    if (response.status === 401 && !asked && (used !== key.get() || await ask())) continue;
    throw await refusal(response);
  }
}

// call makes a request and gives the JSON of its answer.
export async function call(method, path, options) {
  const response = await send(method, path, options);
  return response.status === 204 ? null : response.json();
}

export const get = (path, options) => call("GET", path, options);
export const post = (path, body, options) => call("POST", path, { body, ...options });
export const remove = path => call("DELETE", path);

// all reads a list page by page, to at most so many items.
export async function all(path, most = 1000) {
  const items = [];
  let after = "";
  for (;;) {
    const mark = path.includes("?") ? "&" : "?";
    const page = await get(`${path}${mark}limit=100${after ? `&after=${encodeURIComponent(after)}` : ""}`);
    items.push(...page.data);
    if (!page.has_more || items.length >= most) return items;
    after = page.last_id;
  }
}

// upload sends a file and tells how far it is, from 0 to 1. (fetch cannot tell.)
export async function upload(path, file, onProgress, signal) {
  const once = () => new Promise((done, fail) => {
    const x = new XMLHttpRequest();
    x.open("POST", path);
    for (const [k, v] of Object.entries(authorized())) x.setRequestHeader(k, v);
    x.setRequestHeader("Content-Type", "application/octet-stream");
    x.upload.onprogress = e => { if (e.lengthComputable) onProgress(e.loaded / e.total); };
    x.onload = () => done(new Response(x.status === 204 ? null : x.responseText, { status: x.status, statusText: x.statusText }));
    x.onerror = () => fail(new Error("The service does not answer, or has ended the upload."));
    x.onabort = () => fail(new DOMException("stopped", "AbortError"));
    if (signal) signal.addEventListener("abort", () => x.abort(), { once: true });
    x.send(file);
  });
  let response = await once();
  if (response.status === 401 && await ask()) response = await once();
  if (!response.ok) throw await refusal(response);
  return response.json();
}

// name puts a name of someone else's into a path.
export const name = encodeURIComponent;

// save downloads a file. Without a key the browser can do that itself, straight to the disk;
// it is only asked whether there is something, so that a refusal is shown on the page.
export async function save(path, file) {
  const stop = new AbortController();
  const response = await send("GET", path, { signal: stop.signal });
  let address = path;
  if (key.get()) address = URL.createObjectURL(await response.blob());
  else stop.abort();
  const a = document.createElement("a");
  a.href = address;
  a.download = file;
  a.click();
  if (address !== path) setTimeout(() => URL.revokeObjectURL(address), 10000);
}
