"""A fine-tune with OpenAI's Python client (pip install openai) against a service of yours:

    GOEXPERIMENT=simd go run ./service &
    python examples/openai_client.py

Uploads 120 reviews as conversations, teaches a classifier their sentiment, waits, and asks
the result, with the client's own calls alone. LORIKEET_URL and LORIKEET_KEY say where the
service is and what opens it.
"""

import csv
import json
import os
import pathlib
import time

from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("LORIKEET_URL", "http://127.0.0.1:8080") + "/v1",
    api_key=os.environ.get("LORIKEET_KEY", "none"),  # no key is asked for on loopback
)

# OpenAI's format: one conversation a line, whose answer is what is learned.
here = pathlib.Path(__file__).parent
rows = []
for row in csv.DictReader((here / "reviews.csv").open()):
    rows.append(json.dumps({"messages": [
        {"role": "system", "content": "Is this review positive or negative?"},
        {"role": "user", "content": row["text"]},
        {"role": "assistant", "content": row["sentiment"]},
    ]}))
file = client.files.create(file=("reviews.jsonl", "\n".join(rows).encode()), purpose="fine-tune")
print(f"uploaded {file.filename} as {file.id}")

job = client.fine_tuning.jobs.create(
    model="tiny-bert",
    training_file=file.id,
    suffix="sentiment",
    method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 8, "batch_size": 8}}},
    extra_body={"lorikeet": {"validation": {"split": 0.25}, "lora": {"r": 8}}},  # what OpenAI's API has no words for
)
while job.status not in ("succeeded", "failed", "cancelled"):
    time.sleep(1)
    job = client.fine_tuning.jobs.retrieve(job.id)
if job.status != "succeeded":
    raise SystemExit(f"the job {job.status}: {job.error}")
for event in reversed(client.fine_tuning.jobs.list_events(job.id, limit=3).data):
    print(" ", event.message)
print(f"{job.fine_tuned_model} learned in {job.finished_at - job.created_at} s")

for text in ("The waiter was charming and the dessert was superb.", "We waited an hour and the soup was cold."):
    answer = client.chat.completions.create(
        model=job.fine_tuned_model,
        messages=[{"role": "user", "content": text}],
        logprobs=True,
        top_logprobs=2,
    )
    choice = answer.choices[0]
    scores = ", ".join(f"{t.token} {2.718281828 ** t.logprob:.2f}" for t in choice.logprobs.content[0].top_logprobs)
    print(f"{text} -> {choice.message.content} ({scores})")

# A base that writes streams its answer, piece by piece.
stream = client.chat.completions.create(
    model="tiny-t5",
    messages=[
        {"role": "system", "content": "Translate to Spanish."},
        {"role": "user", "content": "The cat is black."},
    ],
    temperature=0,
    stream=True,
)
for chunk in stream:
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
