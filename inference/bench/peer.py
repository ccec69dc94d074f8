# The peer of bench: writes with transformers what it is told on standard input.
import json, sys, time

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

directory, threads = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(threads)
config = AutoConfig.from_pretrained(directory)
kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
transformers.utils.logging.disable_progress_bar()
model = kind.from_pretrained(directory, dtype=torch.float32).eval()
print(f"PyTorch {torch.__version__}, transformers {transformers.__version__}, float32, {threads} threads", flush=True)
for line in sys.stdin:
    work = json.loads(line)
    ids = torch.full((work["Batch"], work["Source"]), 97)
    start = time.perf_counter()
    with torch.inference_mode():
        model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, num_beams=1,
                       min_new_tokens=work["New"], max_new_tokens=work["New"], pad_token_id=0)
    seconds = time.perf_counter() - start
    print(json.dumps({"Tokens": work["Batch"] * work["New"], "Seconds": seconds}), flush=True)
