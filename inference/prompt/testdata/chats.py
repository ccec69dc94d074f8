"""Writes chats.json: what transformers makes of conversations by the templates here, which were
written for this test in the manner of those that models come with.

    python inference/prompt/testdata/chats.py     # transformers 5.23.0, jinja2 3.1.6
"""

import datetime
import json
import pathlib

from transformers.utils import chat_template_utils

here = pathlib.Path(__file__).parent
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
NOW = datetime.datetime(2026, 3, 7, 9, 5, 2)


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


def turns(*pairs):
    return [{"role": role, "content": content} for role, content in pairs]


CONVERSATIONS = [
    turns(("user", "Hi")),
    turns(("system", "You are terse."), ("user", " Hello there! ")),
    turns(("user", "2+2?"), ("assistant", "4"), ("user", "thanks")),
    turns(("user", "2+2?"), ("assistant", " <think>\nadd\n</think>\n\n4\n")),
    turns(("system", "S\n\n"), ("user", "a\n\tb  "), ("assistant", "x"), ("user", "é \u00a0 {{ 1 }} {% if %} <|im_end|> 'q' \"r\" \\n 日本 🙂"), ("assistant", "done ")),
    turns(("user", "a"), ("user", "b")),
    turns(("user", "a"), ("system", "late"), ("user", "b")),
]


def main():
    chat_template_utils.datetime = Clock
    cases = []
    for path in sorted((here / "templates").glob("*.jinja")):
        for i, messages in enumerate(CONVERSATIONS):
            for generate in (False, True):
                case = {"template": path.stem, "conversation": i, "generate": generate}
                try:
                    texts, _ = chat_template_utils.render_jinja_template(
                        [messages], chat_template=path.read_text(), add_generation_prompt=generate, **SPECIAL)
                    case["text"] = texts[0]
                except Exception as e:
                    case["error"] = f"{type(e).__name__}: {e}"
                cases.append(case)
    out = {"special": SPECIAL, "now": NOW.isoformat() + "Z", "conversations": CONVERSATIONS, "cases": cases}
    (here / "chats.json").write_text(json.dumps(out, ensure_ascii=False, indent=1) + "\n")
    print(len(cases), "cases,", sum("error" in c for c in cases), "refused")


main()
