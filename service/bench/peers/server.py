# A classifier as one is served with FastAPI and transformers: server.py MODEL PORT THREADS
# It prints its address when it is ready.
import os, sys

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

folder, port, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
app = FastAPI()


class Request(BaseModel):
    inputs: list[str]


@app.get("/readyz")
def ready():
    return {"status": "ok"}


@app.post("/predict")
def predict(request: Request):  # a plain function: FastAPI runs it in its pool of threads
    with torch.inference_mode():
        scores = model(**tokenizer(request.inputs, return_tensors="pt", padding=True, truncation=True)).logits.softmax(-1)
    top = scores.max(-1)
    return {"results": [{"label": model.config.id2label[i], "score": s} for i, s in zip(top.indices.tolist(), top.values.tolist())]}


uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
