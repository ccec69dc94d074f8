"""A tour of a running service with the Python client that openapi-python-client makes of
its document. LORIKEET_URL names the service; see go/main.go."""

import os

from lorikeet_client import Client
from lorikeet_client.api.inference import generate, predict
from lorikeet_client.api.tuning import list_jobs, tune_lora
from lorikeet_client.models import GenerateRequest, PredictRequest, Problem, RowSource, TuneRequest

client = Client(base_url=os.environ["LORIKEET_URL"], timeout=120)


def check(what, ok, seen):
    if not ok:
        raise SystemExit(f"FAILED: {what}: {seen}")


text = "The waiter was charming and the dessert was superb."
predicted = predict.sync(client=client, body=PredictRequest(model="tiny-bert", adapter="sentiment", inputs=text))
check("predict", predicted.results[0].label == "positive" and predicted.adapter.name == "sentiment", predicted)
wrote = generate.sync(client=client, body=GenerateRequest(model="tiny-t5", instruction="Translate to Spanish.", input_="The cat is black."))
check("generate", wrote.text and wrote.finish_reason == "stop", wrote)
rows = RowSource.from_dict({"rows": [{"text": "good", "label": "yes"}, {"text": "bad", "label": "no"}]})
plan = tune_lora.sync(client=client, body=TuneRequest(model="tiny-bert", name="py-dry", dataset=rows), dry_run=True)
check("dry run", plan.rows == 2, plan)
jobs = list_jobs.sync(client=client, limit=5)
check("jobs", jobs.data, jobs)
problem = predict.sync(client=client, body=PredictRequest(model="tiny-bert", adapter="nobody@9", inputs=[text]))
check("an error", isinstance(problem, Problem) and problem.status == 404 and problem.code == "adapter_not_found", problem)
print(f"Python: predicted {predicted.results[0].label}, wrote {wrote.text!r}, planned {plan.steps} steps, saw {len(jobs.data)} jobs and an error")
