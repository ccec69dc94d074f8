"""OpenAI's Python client does the whole tour of a running service, and each answer is
checked. LORIKEET_URL names the service, whose bases must be tiny-bert and tiny-t5, and
which must listen on loopback without keys. Ends with an error at the first thing that is
not as the client has it.
"""

import http.client
import http.server
import json
import os
import pathlib
import threading
import time
import urllib.parse

import openai
from openai import OpenAI

URL = os.environ["LORIKEET_URL"]
client = OpenAI(base_url=URL + "/v1", api_key="none", max_retries=2, timeout=120)
RUN = f"py{os.getpid()}"  # names of this run


def check(what, ok, *seen):
    if not ok:
        raise SystemExit(f"FAILED: {what}: {seen}")
    print(f"ok  {what}")


def raises(what, kind, call, param=None, code=None, says=None):
    try:
        call()
    except kind as e:
        text = str(e)
        check(what, (param is None or e.param == param) and (code is None or e.code == code) and (says is None or says in text)
              and e.request_id, e.param, e.code, text)
        return e
    except Exception as e:
        check(what, False, type(e), e)
    check(what, False, "no error")


def jsonl(rows):
    return "\n".join(json.dumps(r) for r in rows).encode()


def chat(text, answer):
    return {"messages": [{"role": "system", "content": "Good or bad?"}, {"role": "user", "content": text}, {"role": "assistant", "content": answer}]}


def wait(job, *statuses, most=240):
    end = time.time() + most
    while time.time() < end:
        job = client.fine_tuning.jobs.retrieve(job.id)
        if job.status in statuses:
            return job
        if job.status in ("failed", "cancelled", "succeeded"):
            break
        time.sleep(0.25)
    check(f"the job becomes {statuses}", False, job)


# --- models
models = client.models.list()
ids = [m.id for m in models]
check("models lists the bases", {"tiny-bert", "tiny-t5"} <= set(ids), ids)
base = client.models.retrieve("tiny-t5")
check("a base has no parent", base.object == "model" and base.parent is None and base.root == "tiny-t5" and base.created > 0, base)
raises("an unknown model is NotFoundError", openai.NotFoundError, lambda: client.models.retrieve("nope@3"), code="model_not_found", says="nope@3")
raises("a base is not deleted", openai.BadRequestError, lambda: client.models.delete("tiny-t5"), param="model")

# --- chat with a base that writes
ask = [{"role": "system", "content": "Translate to Spanish."}, {"role": "user", "content": [{"type": "text", "text": "The cat is "}, {"type": "text", "text": "black."}]}]
whole = client.chat.completions.create(model="tiny-t5", messages=ask, temperature=0, logprobs=True, top_logprobs=3, user="u", metadata={"a": "b"}, service_tier="auto")
choice = whole.choices[0]
check("chat answers", whole.object == "chat.completion" and choice.message.role == "assistant" and choice.message.content and choice.finish_reason == "stop", whole)
check("usage adds up", whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens and whole.usage.prompt_tokens > 0, whole.usage)
tokens = choice.logprobs.content
check("logprobs are of the text", b"".join(bytes(t.bytes) for t in tokens).decode().strip() == choice.message.content.strip(), choice)
check("logprobs are probabilities", all(t.logprob <= 0 and t.top_logprobs[0].logprob == t.logprob and len(t.top_logprobs) == 3 for t in tokens), tokens)
pieces, roles, finish, usage = [], [], None, None
for chunk in client.chat.completions.create(model="tiny-t5", messages=ask, temperature=0, stream=True, stream_options={"include_usage": True}):
    if chunk.usage:
        check("the usage comes last, without choices", chunk.choices == [], chunk)
        usage = chunk.usage
        continue
    check("a chunk before the last has no usage", usage is None and chunk.object == "chat.completion.chunk", chunk) if usage else None
    d = chunk.choices[0]
    pieces.append(d.delta.content or "")
    roles += [d.delta.role] if d.delta.role else []
    finish = d.finish_reason or finish
check("a stream is the same text", "".join(pieces) == choice.message.content and roles == ["assistant"] and finish == "stop", pieces)
check("a stream tells its usage", usage == whole.usage, usage)
with client.chat.completions.stream(model="tiny-t5", messages=ask, temperature=0) as helper:
    final = helper.get_final_completion()
check("the client's own stream helper reads it", final.choices[0].message.content == choice.message.content, final)
drawn = [client.chat.completions.create(model="tiny-t5", messages=ask, seed=7, n=3, temperature=1.5, max_completion_tokens=8) for _ in range(2)]
texts = [[c.message.content for c in d.choices] for d in drawn]
check("a seed draws the same n texts again", texts[0] == texts[1] and len(texts[0]) == 3 and [c.index for c in drawn[0].choices] == [0, 1, 2], texts)
check("a prompt counts once", drawn[0].usage.prompt_tokens == whole.usage.prompt_tokens, drawn[0].usage)
many = {}
for chunk in client.chat.completions.create(model="tiny-t5", messages=ask, seed=7, n=3, temperature=1.5, max_completion_tokens=8, stream=True):
    for c in chunk.choices:
        many[c.index] = many.get(c.index, "") + (c.delta.content or "")
check("n texts are streamed together", [many[i] for i in range(3)] == texts[0], many, texts)
stopped = client.chat.completions.create(model="tiny-t5", messages=ask, temperature=0, stop=["gato"])
check("stop ends the text before it", "gato" not in stopped.choices[0].message.content and stopped.choices[0].finish_reason == "stop", stopped)
short = client.chat.completions.create(model="tiny-t5", messages=ask, temperature=0, max_tokens=2)
check("max_tokens ends it by length", short.choices[0].finish_reason == "length" and short.usage.completion_tokens == 2, short)
raw = client.chat.completions.with_raw_response.create(model="tiny-t5", messages=ask, max_tokens=2)
check("every answer has a request id", raw.headers.get("x-request-id"), dict(raw.headers))

# --- completions
text = client.completions.create(model="tiny-t5", prompt=["Translate to Spanish.\nThe cat is black.", "Is this review positive or negative?\nGreat."], temperature=0, max_tokens=16, logprobs=2)
check("completions answers each prompt", [c.index for c in text.choices] == [0, 1] and text.object == "text_completion" and all(c.text for c in text.choices), text)
lp = text.choices[0].logprobs
check("completions tells logprobs", len(lp.tokens) == len(lp.token_logprobs) == len(lp.top_logprobs) == len(lp.text_offset) > 0, lp)
streamed = "".join(c.choices[0].text for c in client.completions.create(model="tiny-t5", prompt="Translate to Spanish.\nThe cat is black.", temperature=0, max_tokens=16, stream=True))
check("completions stream", streamed == text.choices[0].text, streamed)

# --- what is refused, and how
refused = dict(model="tiny-t5", messages=ask)
raises("n above 8", openai.BadRequestError, lambda: client.chat.completions.create(**refused, n=9), param="n")
raises("tools", openai.BadRequestError, lambda: client.chat.completions.create(**refused, tools=[{"type": "function", "function": {"name": "f"}}]), param="tools")
raises("a JSON format", openai.BadRequestError, lambda: client.chat.completions.create(**refused, response_format={"type": "json_object"}), param="response_format")
raises("an image", openai.BadRequestError, lambda: client.chat.completions.create(model="tiny-t5", messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]), param="messages[0].content[0].type")
raises("an unknown field", openai.BadRequestError, lambda: client.chat.completions.create(**refused, extra_body={"temprature": 1}), param="temprature", says="temperature")
raises("a prompt that is too long", openai.BadRequestError, lambda: client.chat.completions.create(model="tiny-t5", messages=[{"role": "user", "content": "word " * 5000}]), code="context_length_exceeded", param="messages")
raises("an unknown model", openai.NotFoundError, lambda: client.chat.completions.create(model="gpt-4o", messages=ask), code="model_not_found", param="model")
raises("a stream that cannot begin has a status", openai.NotFoundError, lambda: client.chat.completions.create(model="gpt-4o", messages=ask, stream=True))

# --- files
rows = [chat(f"the {thing} was {word} {i}", "good" if word == "great" else "bad") for i in range(8) for thing in ("food", "room") for word in ("great", "awful")]
data = jsonl(rows)
file = client.files.create(file=(f"{RUN}.jsonl", data), purpose="fine-tune")
check("a file is taken", file.object == "file" and file.bytes == len(data) and file.filename.endswith(".jsonl") and file.purpose == "fine-tune" and file.status == "processed", file)
check("a file sent again is the same", client.files.create(file=(f"{RUN}.jsonl", data), purpose="fine-tune").id == file.id)
check("a file is shown", client.files.retrieve(file.id) == file)
check("a file is waited for", client.files.wait_for_processing(file.id).id == file.id)
check("a file is given out as it came", client.files.content(file.id).read() == data)
check("files are listed", file.id in [f.id for f in client.files.list(purpose="fine-tune", limit=1)])  # page after page
held = client.files.create(file=(f"{RUN}-held.jsonl", jsonl(rows[::5])), purpose="fine-tune")
bad = raises("a bad file is refused with its lines", openai.BadRequestError, lambda: client.files.create(file=("bad.jsonl", b'{"messages":[{"role":"user","content":"a"}]}\n{"messages":[]}\n'), purpose="fine-tune"), says="line 2")
raises("another purpose", openai.BadRequestError, lambda: client.files.create(file=("a.jsonl", data), purpose="assistants"), param="purpose")
raises("an unknown file", openai.NotFoundError, lambda: client.files.retrieve("file-nothing"), code="file_not_found")

# --- webhooks
events = []


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        events.append((body.decode(), dict(self.headers)))
        self.send_response(500 if len(events) == 1 else 204)  # the first is to come again
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=receiver.serve_forever, daemon=True).start()
hook = client.webhooks.create(name=RUN, url=f"http://127.0.0.1:{receiver.server_port}/hook", event_types=["fine_tuning.job.succeeded", "fine_tuning.job.cancelled"])
check("a webhook endpoint is made", hook.signing_secret.startswith("whsec_"), hook)
check("it is shown without its secret", client.webhooks.retrieve(hook.id).url == hook.url and hook.id in [w.id for w in client.webhooks.list()])
raises("a private address is refused", openai.BadRequestError, lambda: client.webhooks.create(name="x", url="http://10.0.0.1/", event_types=["fine_tuning.job.failed"]), param="url")

# --- a fine-tune, from file to answer
job = client.fine_tuning.jobs.create(
    model="tiny-bert", training_file=file.id, validation_file=held.id, suffix=f"{RUN} Good-Bad", seed=3, metadata={"run": RUN},
    method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 6, "batch_size": 8, "learning_rate_multiplier": "auto"}}},
    extra_body={"lorikeet": {"lora": {"r": 4}}})
check("a job is made", job.object == "fine_tuning.job" and job.status in ("queued", "running") and job.training_file == file.id and job.validation_file == held.id
      and job.seed == 3 and job.metadata == {"run": RUN} and job.hyperparameters.n_epochs == 6 and job.fine_tuned_model is None and job.error is None, job)
job = wait(job, "succeeded")
check("a job names its model", job.fine_tuned_model == f"{RUN}-good-bad@1" and job.finished_at >= job.created_at and job.result_files, job)
history = [e for e in client.fine_tuning.jobs.list_events(job.id, limit=5)]  # page after page
check("events come newest first, without gap or double", history[0].message == "The job has successfully completed" and len({e.id for e in history}) == len(history)
      and {"message", "metrics"} == {e.type for e in history} and any("train_loss" in (e.data or {}) for e in history) and any("valid_loss" in (e.data or {}) for e in history), history[:2])
points = client.fine_tuning.jobs.checkpoints.list(job.id).data
check("checkpoints are listed", all(p.object == "fine_tuning.job.checkpoint" and p.fine_tuning_job_id == job.id and p.step_number > 0 for p in points), points)
table = client.files.content(job.result_files[0]).text
check("the results are a table", table.startswith("step,train_loss") and "valid_loss" in table.splitlines()[0] and len(table.splitlines()) > 10, table)
info = client.files.retrieve(job.result_files[0])
check("the results are a file", info.purpose == "fine-tune-results" and info.bytes == len(table), info)
check("jobs are listed, page after page", job.id in [j.id for j in client.fine_tuning.jobs.list(limit=1)])

for model in (job.fine_tuned_model, job.fine_tuned_model.split("@")[0]):
    label = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "the room was awful 3"}], logprobs=True, top_logprobs=2)
    top = label.choices[0].logprobs.content[0].top_logprobs
    check(f"{model} answers with its label", label.choices[0].message.content == "bad" and label.model == job.fine_tuned_model
          and {t.token for t in top} == {"good", "bad"} and abs(sum(2.718281828 ** t.logprob for t in top) - 1) < 1e-3, label)
check("a label is streamed", "".join(c.choices[0].delta.content or "" for c in client.chat.completions.create(model=job.fine_tuned_model, messages=[{"role": "user", "content": "the food was great 1"}], stream=True)) == "good")
shown = client.models.retrieve(job.fine_tuned_model)
check("a tuned model has its base as parent", shown.parent == "tiny-bert" and shown.root == job.fine_tuned_model, shown)

end = time.time() + 60
while len(events) < 2 and time.time() < end:
    time.sleep(0.2)
check("an endpoint that answers 500 is told again", len(events) == 2 and events[0][1]["webhook-id"] == events[1][1]["webhook-id"], events)
told = client.webhooks.unwrap(events[1][0], events[1][1], secret=hook.signing_secret)
check("unwrap verifies what it is told", told.type == "fine_tuning.job.succeeded" and told.data.id == job.id and told.object == "event", told)
try:
    client.webhooks.unwrap(events[1][0].replace("succeeded", "cancelled"), events[1][1], secret=hook.signing_secret)
    check("what was changed on the way is found out", False)
except openai.InvalidWebhookSignatureError:
    check("what was changed on the way is found out", True)

# --- a create whose answer is lost
parts = urllib.parse.urlsplit(URL)


class Cut(http.server.BaseHTTPRequestHandler):
    """Passes requests on, and cuts the connection instead of the first answer to a POST."""
    cuts = 1
    counts = []

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        up = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
        up.request(self.command, self.path, body, {k: v for k, v in self.headers.items() if k.lower() not in ("host", "content-length")})
        answer = up.getresponse()
        text = answer.read()
        if self.command == "POST":
            Cut.counts.append(self.headers.get("x-stainless-retry-count"))
            if Cut.cuts > 0:
                Cut.cuts -= 1
                self.close_connection = True
                self.connection.close()
                return
        self.send_response(answer.status)
        for k, v in answer.getheaders():
            if k.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(k, v)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = pass_on

    def log_message(self, *args):
        pass

    def handle(self):
        try:
            super().handle()
        except (ValueError, OSError):
            pass  # of the connection that was cut


proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cut)
threading.Thread(target=proxy.serve_forever, daemon=True).start()
shaky = OpenAI(base_url=f"http://127.0.0.1:{proxy.server_port}/v1", api_key="none")
count = lambda: [j.id for j in client.fine_tuning.jobs.list(limit=100)]
before = count()
long = dict(model="tiny-bert", training_file=file.id, hyperparameters={"n_epochs": 500, "batch_size": 4})
again = shaky.fine_tuning.jobs.create(**long)
check("a create sent again makes one job", Cut.counts == ["0", "1"] and len(count()) == len(before) + 1 and again.id in count(), Cut.counts, before, count())
twin = client.fine_tuning.jobs.create(**long)
check("two deliberate creates make two jobs", twin.id != again.id and len(count()) == len(before) + 2)
check("a model without a suffix has a name of its own", again.to_dict()["lorikeet"]["name"] != twin.to_dict()["lorikeet"]["name"])

# --- pause, resume, cancel
check("a queued job is cancelled", client.fine_tuning.jobs.cancel(twin.id).status == "cancelled")
long = wait(again, "running")
client.fine_tuning.jobs.pause(long.id)
check("a running job is paused", wait(long, "paused").status == "paused")
client.fine_tuning.jobs.resume(long.id)
check("and resumed", wait(long, "running").status == "running")
check("and cancelled", client.fine_tuning.jobs.cancel(long.id).status == "cancelled")
seen = len(Cut.counts)
conflict = raises("a cancelled job is ConflictError", openai.ConflictError, lambda: shaky.fine_tuning.jobs.cancel(long.id), code="job_over")
check("which the client does not send again", len(Cut.counts) == seen + 1, Cut.counts)
raises("an unknown job", openai.NotFoundError, lambda: client.fine_tuning.jobs.retrieve("ftjob-abc"), code="job_not_found")
raises("faults come together, by name", openai.BadRequestError, lambda: client.fine_tuning.jobs.create(model="tiny-bert", training_file=file.id, suffix="!", seed=1, method={"type": "dpo"},
       extra_body={"lorikeet": {"lora": {"r": 0}}}), says="method.type")
raises("an unknown training file", openai.NotFoundError, lambda: client.fine_tuning.jobs.create(model="tiny-bert", training_file="file-00000000000000000000"), param="training_file")

# --- a base that writes learns answers
helper = client.files.create(file=(f"{RUN}-qa.jsonl", jsonl([{"messages": [{"role": "user", "content": f"Say {w}."}, {"role": "assistant", "content": w}]} for w in ("yes", "no", "maybe") for _ in range(4)])), purpose="fine-tune")
writer = wait(client.fine_tuning.jobs.create(model="tiny-t5", training_file=helper.id, suffix=f"{RUN}-w", hyperparameters={"n_epochs": 1, "batch_size": 12}), "succeeded")
said = client.chat.completions.create(model=writer.fine_tuned_model, messages=[{"role": "user", "content": "Say yes."}], temperature=0, max_tokens=8)
check("a tuned writer answers", said.model == writer.fine_tuned_model and said.usage.completion_tokens > 0, said)

# --- tidy
for model in (job.fine_tuned_model, writer.fine_tuned_model.split("@")[0]):
    check("a tuned model is deleted", client.models.delete(model).deleted)
raises("and is gone", openai.NotFoundError, lambda: client.chat.completions.create(model=job.fine_tuned_model, messages=ask))
check("a file is deleted", client.files.delete(file.id).deleted and client.files.delete(held.id).deleted and client.files.delete(helper.id).deleted)
raises("and is gone", openai.NotFoundError, lambda: client.files.content(file.id))
rotated = client.webhooks.rotate_secret(hook.id, keep_old_secret_active_for_24_hours=True)
check("a secret is rotated", rotated.signing_secret != hook.signing_secret)
tested = client.webhooks.test(hook.id, event_type="fine_tuning.job.succeeded")
body, headers = events[-1]
check("an endpoint is tested, signed with both secrets", tested.status_code == 204 and all(client.webhooks.unwrap(body, headers, secret=s) for s in (hook.signing_secret, rotated.signing_secret)), tested)
check("an endpoint is deleted", client.webhooks.delete(hook.id).deleted)
print(f"openai {openai.__version__}: the whole tour")
