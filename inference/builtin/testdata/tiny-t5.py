"""Records what transformers makes of tiny-t5, for TestTinyT5AgreesWithTransformers:

    python inference/builtin/testdata/tiny-t5.py inference/builtin/tiny-t5 > inference/builtin/testdata/tiny-t5.json
"""

import json
import sys

import torch
import transformers

PROMPTS = [
    "Translate to Spanish.\nThe house is white.",
    "Is this review positive or negative?\nThe pasta was cold and the waiter was rude.",
    "Reverse the words.\ncat dog bird",
    "What is seven plus five?",
    "Extract the email address.\nPlease write to emma@mail.org — today…",
    "¿Dónde está la estación?  “Quoted” text\twith 日本 and tabs",
    "The <extra_id_0> sat on the mat.",
]

tokenizer = transformers.AutoTokenizer.from_pretrained(sys.argv[1])
model = transformers.T5ForConditionalGeneration.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
cases = []
for prompt in PROMPTS:
    ids = tokenizer(prompt)["input_ids"]
    with torch.no_grad():
        written = model.generate(torch.tensor([ids]), max_new_tokens=12, do_sample=False)[0].tolist()
        logits = model(input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([written])).logits[0].double()
    cases.append({
        "prompt": prompt, "ids": ids, "written": written, "text": tokenizer.decode(written, skip_special_tokens=True),
        "logits": [[round(v, 6) for v in row] for row in logits[:, ::257].tolist()],
        "logsumexp": [round(v, 6) for v in logits.logsumexp(-1).tolist()],
    })
json.dump({"transformers": transformers.__version__, "torch": torch.__version__, "every": 257, "cases": cases}, sys.stdout, ensure_ascii=False)
print()
