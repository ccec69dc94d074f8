"""What rows become, by transformers 5.23.0: python rows.py ../shared/fixtures > rows.json

For a decoder, labels are found by the offsets of the rendered text: an answer reaches from
where the generation prompt ends to the end token of its turn.
"""

import json
import pathlib
import sys

from transformers import AutoTokenizer, PreTrainedTokenizerFast

fixtures = pathlib.Path(sys.argv[1])
templates = pathlib.Path(__file__).parents[3] / "inference/prompt/testdata/templates"

talk = [
    {"role": "system", "content": "You are terse."},
    {"role": "user", "content": " What is two and two? "},
    {"role": "assistant", "content": "It is four."},
    {"role": "user", "content": "And then?"},
    {"role": "assistant", "content": "Five, of course.\n"},
]
unheard = talk + [{"role": "user", "content": "thanks"}]
weighed = [dict(m) for m in talk]
weighed[2]["weight"] = 0
instruction = {"instruction": "Name a colour of the sky.", "input": "at noon", "output": "blue"}
bare = {"instruction": "Say hello.", "input": "", "output": "Hello there"}


def tokenizer(fixture):
    # transformers 5 builds a Llama's tokenizer anew, with a space less after special tokens
    # than tokenizer.json and transformers 4 have.
    kind = PreTrainedTokenizerFast if fixture == "llama" else AutoTokenizer
    return kind.from_pretrained(fixtures / fixture)


def chat(fixture, end, messages, template=None, row=None):
    """One text; the turns of the assistant that count are learned, each up to end."""
    tok = tokenizer(fixture)
    if template:
        tok.chat_template = (templates / template).read_text()
    plain = [{"role": m["role"], "content": m["content"]} for m in messages]
    learned = [i for i, m in enumerate(messages) if m["role"] == "assistant" and m.get("weight", 1) > 0]
    whole = tok.apply_chat_template(plain[: learned[-1] + 1], tokenize=False)
    spans = []
    for i in learned:
        begin = len(tok.apply_chat_template(plain[:i], tokenize=False, add_generation_prompt=True))
        spans.append((begin, whole.index(end, begin) + len(end)))
    enc = tok(whole[: spans[-1][1]], add_special_tokens=False, return_offsets_mapping=True)
    labels = [t if any(b <= o < e for b, e in spans) else -100 for t, (o, _) in zip(enc["input_ids"], enc["offset_mapping"])]
    return {"base": fixture, "chat": template, "row": row or {"messages": messages}, "ids": enc["input_ids"], "labels": labels}


def text(fixture, row, before, answer, **spec):
    """One text: what comes before, then the answer and the end of the text."""
    tok = tokenizer(fixture)
    enc = tok(before + answer, return_offsets_mapping=True)
    ids = enc["input_ids"] + ([tok.eos_token_id] if enc["input_ids"][-1] != tok.eos_token_id else [])
    n = len(tok(before)["input_ids"])
    return {"base": fixture, "row": row, "ids": ids, "labels": [-100] * n + ids[n:], **spec}


def pair(fixture, row, source, target, **spec):
    """A source and a target."""
    tok = tokenizer(fixture)
    return {"base": fixture, "row": row, "ids": tok(source)["input_ids"], "labels": tok(text_target=target)["input_ids"], **spec}


def asked(row):
    return [{"role": "user", "content": row["instruction"] + ("\n" + row["input"] if row["input"] else "")}, {"role": "assistant", "content": row["output"]}]


alpaca = (
    "Below is an instruction that describes a task, paired with an input that provides further context. Write a response that "
    "appropriately completes the request.\n\n### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
).format(**instruction)
said = {"source": "The house is small.", "target": "Das Haus ist klein."}
cases = {
    "a conversation, both answers learned": chat("llama3-tied", "<|eot_id|>", talk),
    "a conversation that goes on": chat("llama3-tied", "<|eot_id|>", unheard),
    "a conversation, its second answer learned": chat("llama3-tied", "<|eot_id|>", weighed),
    "a conversation in ChatML": chat("qwen2", "<|im_end|>", talk, "smollm2.jinja"),
    "a conversation in the brackets of Llama 2": chat("llama", "</s>", talk, "llama2.jinja"),
    "an instruction by a chat template": chat("llama3-tied", "<|eot_id|>", asked(instruction), row=instruction),
    "an instruction without input by a chat template": chat("llama3-tied", "<|eot_id|>", asked(bare), row=bare),
    "an instruction by itself": text("llama", instruction, instruction["instruction"] + "\n" + instruction["input"], instruction["output"]),
    "an instruction in Alpaca's words": text("llama", instruction, alpaca, instruction["output"], template="alpaca"),
    "a prompt and its completion": text("llama", {"source": "Once upon a time,", "target": " there was a dog"}, "Once upon a time,", " there was a dog"),
    "an instruction for a T5": pair("t5", instruction, instruction["instruction"] + "\n" + instruction["input"], instruction["output"]),
    "a translation by a T5": pair("t5", said, "translate English to German: " + said["source"], said["target"], source_lang="English", target_lang="German"),
    "a translation by a Marian": pair("marian", said, said["source"], said["target"], source_lang="English", target_lang="German"),
    "a source for an mT5": pair("mt5", said, said["source"], said["target"]),
}
print("{\n" + ",\n".join(json.dumps(name) + ": " + json.dumps(case, ensure_ascii=False) for name, case in cases.items()) + "\n}")
