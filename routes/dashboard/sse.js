// Server-sent events over fetch: an EventSource cannot send an Authorization header.
// The format is https://html.spec.whatwg.org/multipage/server-sent-events.html

// parser is fed text as it comes, cut anywhere, and calls back with each event:
// {id, event, data}, and with the retry times that the server asks for.
export function parser(onEvent, onRetry) {
  let rest = "", started = false, lastID = "", name = "", data = [];
  const line = text => {
    if (text === "") {
      if (data.length) onEvent({ id: lastID, event: name || "message", data: data.join("\n") });
      name = "";
      data = [];
      return;
    }
    const colon = text.indexOf(":");
    if (colon === 0) return; // a comment
    const field = colon < 0 ? text : text.slice(0, colon);
    let value = colon < 0 ? "" : text.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "data") data.push(value);
    else if (field === "event") name = value;
    else if (field === "id" && !value.includes("\0")) lastID = value;
    else if (field === "retry" && /^[0-9]+$/.test(value) && onRetry) onRetry(Number(value));
  };
  return text => {
    rest += text;
    if (!started && rest) {
      started = true;
      if (rest.startsWith("\uFEFF")) rest = rest.slice(1);
    }
    let from = 0;
    for (let i = 0; i < rest.length; i++) {
      const c = rest[i];
      if (c !== "\n" && c !== "\r") continue;
      if (c === "\r" && i + 1 === rest.length) break; // perhaps the first half of CR LF
      line(rest.slice(from, i));
      if (c === "\r" && rest[i + 1] === "\n") i++;
      from = i + 1;
    }
    rest = rest.slice(from);
  };
}

// read feeds a response to a parser until it ends.
export async function read(response, onEvent, onRetry) {
  const feed = parser(onEvent, onRetry);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    feed(value);
  }
}

const pause = (time, signal) => new Promise(done => {
  const t = setTimeout(done, time);
  signal.addEventListener("abort", () => { clearTimeout(t); done(); }, { once: true });
});

// follow reads a stream to its end, connecting again after the last event that came when
// the connection breaks. onEvent returns true for the event after which there are no more.
// open(headers) sends the request and throws, with the status, what the server refuses.
export async function follow(open, { signal, onEvent, onState }) {
  let last = "", wait = 2000, failures = 0, over = false;
  while (!signal.aborted && !over) {
    try {
      const response = await open({ Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) });
      if (response.status === 204) return;
      if (onState) onState("live");
      failures = 0;
      await read(response, e => {
        if (e.id) last = e.id;
        if (onEvent(e)) over = true;
      }, ms => { wait = ms; });
    } catch (error) {
      if (signal.aborted) return;
      if (error.problem && error.problem.status < 500 && error.problem.status !== 429) throw error;
      failures++;
    }
    if (over || signal.aborted) return;
    if (onState) onState("reconnecting");
    await pause(Math.min(wait * 2 ** Math.max(0, failures - 1), 15000), signal);
  }
}
