# The other side of the benchmark: does what it reads from its input, a JSON object a
# line, and answers with one. What it is, and with which model, its arguments say:
#
#   peer.py KIND JSON
#
# Every call is made "repeat" times; the answer is the median of their seconds.
import gc, json, os, resource, statistics, sys, time

kind, config = sys.argv[1], json.loads(sys.argv[2])
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["RAYON_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(config["threads"])
os.environ["TOKENIZERS_PARALLELISM"] = "true"
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what libraries print is no answer


def say(**answer):
    print(json.dumps(answer), file=answers, flush=True)


def timed(call, repeat):
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), result


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def versions(*modules):
    return ", ".join(f"{m.__name__} {m.__version__}" for m in modules)


def quiet_torch():
    import torch, transformers
    torch.set_num_threads(config["threads"])
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return torch, transformers


class Forward:
    """A classifier in all the ways that Python has to run one."""

    def __init__(self):
        self.torch, self.transformers = quiet_torch()
        import peft, onnxruntime
        self.peft, self.onnxruntime = peft, onnxruntime
        self.versions = versions(self.torch, self.transformers, peft, onnxruntime)
        self.made = {}

    def plain(self, dtype):
        kind = self.transformers.AutoModelForSequenceClassification
        return kind.from_pretrained(config["model"], dtype=dtype).eval()

    def adapted(self):
        model = self.peft.PeftModel.from_pretrained(self.plain(self.torch.float32), config["adapters"][0], adapter_name="a0")
        for i, folder in enumerate(config["adapters"][1:], 1):
            model.load_adapter(folder, adapter_name=f"a{i}")
        model.set_adapter("a0")
        return model.eval()

    def session(self, file):
        options = self.onnxruntime.SessionOptions()
        options.intra_op_num_threads = config["threads"]
        options.graph_optimization_level = self.onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        return self.onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def runner(self, variant):
        if variant in self.made:
            return self.made[variant]
        torch = self.torch
        if variant.startswith("onnx"):
            session = self.session(onnx_file(self, variant))
            run = lambda feed: session.run(None, feed)[0]
        elif variant == "peft":
            model = self.adapted()
            run = lambda feed, **more: model(**feed, **more).logits
        else:
            model = self.made.get("float32 model") if variant == "compile" else None
            if model is None:
                model = self.plain(torch.bfloat16 if variant == "bfloat16" else torch.float32)
            if variant == "float32":
                self.made["float32 model"] = model
            if variant == "compile":
                model = torch.compile(model, dynamic=False)
            run = lambda feed: model(**feed).logits
        self.made[variant] = run
        return run

    def answer(self, asked):
        variant, ids = asked["variant"], asked["ids"]
        run = self.runner(variant)
        if variant.startswith("onnx"):
            import numpy as np
            ids = np.array(ids, dtype=np.int64)
            feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
            seconds, logits = timed(lambda: run(feed), asked["repeat"])
            return {"seconds": seconds, "logits": logits.tolist()}
        ids = self.torch.tensor(ids)
        feed = {"input_ids": ids, "attention_mask": self.torch.ones_like(ids), "token_type_ids": self.torch.zeros_like(ids)}
        more = {"adapter_names": asked["adapters"]} if asked.get("adapters") else {}
        with self.torch.inference_mode():
            seconds, logits = timed(lambda: run(feed, **more), asked["repeat"])
        return {"seconds": seconds, "logits": logits.float().tolist()}


def onnx_file(peer, variant):
    """The model exported once, with attention fused as ONNX Runtime's own tool does it."""
    import onnx
    folder = config["export"]
    os.makedirs(folder, exist_ok=True)
    plain, fused, int8 = (os.path.join(folder, name + ".onnx") for name in ("plain", "fused", "int8"))
    if not os.path.exists(fused):
        from onnxruntime.transformers import optimizer
        torch = peer.torch
        model = peer.transformers.AutoModelForSequenceClassification.from_pretrained(config["model"], attn_implementation="eager").eval()
        model.config.return_dict = False
        names = ["input_ids", "attention_mask", "token_type_ids"]
        example = tuple(torch.ones(2, 16, dtype=torch.long) for _ in names)
        axes = {n: {0: "batch", 1: "length"} for n in names} | {"logits": {0: "batch"}}
        torch.onnx.export(model, example, plain, input_names=names, output_names=["logits"], dynamic_axes=axes, opset_version=17, dynamo=False)
        c = model.config
        best = optimizer.optimize_model(plain, model_type="bert", num_heads=c.num_attention_heads, hidden_size=c.hidden_size)
        print("fused for ONNX Runtime:", best.get_fused_operator_statistics(), file=sys.stderr)
        best.save_model_to_file(fused + ".part")
        os.replace(fused + ".part", fused)
    if variant == "onnx int8" and not os.path.exists(int8):
        from onnxruntime.quantization import QuantType, quantize_dynamic
        quantize_dynamic(fused, int8 + ".part", weight_type=QuantType.QInt8, per_channel=True,
                         extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT})
        os.replace(int8 + ".part", int8)
    return int8 if variant == "onnx int8" else fused


class Train:
    """One step of AdamW at a time, as Hugging Face's Trainer makes it."""

    def __init__(self):
        torch, transformers = self.torch, _ = quiet_torch()
        import peft
        self.versions = versions(torch, transformers, peft)
        torch.manual_seed(1)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(config["model"], dtype=torch.float32)
        if config["lora"]:
            model = peft.get_peft_model(model, peft.LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16, lora_dropout=0.1, target_modules=["query", "value"]))
        self.model = model.train()
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-5, weight_decay=0.0)
        ids = torch.tensor(config["ids"])
        self.feed = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids),
                     "labels": torch.arange(len(ids)) % 2}

    def step(self):
        with self.torch.autocast("cpu", dtype=self.torch.bfloat16, enabled=config["bfloat16"]):
            loss = self.model(**self.feed).loss
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()

    def answer(self, asked):
        seconds, loss = timed(self.step, asked["repeat"])
        return {"seconds": seconds, "loss": loss, "peak_mib": peak_mib()}


class Generate:
    """Greedy writing by transformers."""

    def __init__(self):
        torch, transformers = self.torch, self.transformers = quiet_torch()
        self.versions = versions(torch, transformers)
        c = transformers.AutoConfig.from_pretrained(config["model"])
        self.kind = transformers.AutoModelForSeq2SeqLM if c.is_encoder_decoder else transformers.AutoModelForCausalLM
        self.made = {}

    def answer(self, asked):
        torch, variant = self.torch, asked["variant"]
        if variant not in self.made:
            self.made[variant] = self.kind.from_pretrained(config["model"], dtype=getattr(torch, variant)).eval()
        model, new = self.made[variant], asked["new"]
        ids = torch.tensor([asked["ids"]] * asked["batch"])
        with torch.inference_mode():
            seconds, _ = timed(lambda: model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, num_beams=1,
                               min_new_tokens=new, max_new_tokens=new, pad_token_id=0), asked["repeat"])
        return {"seconds": seconds, "tokens": asked["batch"] * new}


class CTranslate2:
    """Greedy writing by CTranslate2, converted once for each type."""

    def __init__(self):
        import ctranslate2
        self.library, self.versions, self.made = ctranslate2, versions(ctranslate2), {}

    def answer(self, asked):
        variant = asked["variant"]
        if variant not in self.made:
            folder = os.path.join(config["export"], variant)
            if not os.path.exists(os.path.join(folder, "model.bin")):
                self.library.converters.TransformersConverter(config["model"]).convert(folder, quantization=variant, force=True)
            self.made[variant] = self.library.Translator(folder, device="cpu", compute_type=variant, inter_threads=1, intra_threads=config["threads"])
        new = asked["new"]
        source = [asked["pieces"]] * asked["batch"]
        seconds, results = timed(lambda: self.made[variant].translate_batch(source, beam_size=1, min_decoding_length=new, max_decoding_length=new, max_batch_size=0), asked["repeat"])
        return {"seconds": seconds, "tokens": sum(len(r.hypotheses[0]) for r in results)}


class Tokenize:
    """Hugging Face's tokenizers, all threads on one list of texts."""

    def __init__(self):
        import tokenizers
        self.versions = versions(tokenizers)
        self.tokenizer = tokenizers.Tokenizer.from_file(os.path.join(config["model"], "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    def answer(self, asked):
        fast = self.tokenizer.encode_batch_fast
        seconds, encoded = timed(lambda: fast(asked["texts"]), asked["repeat"])
        return {"seconds": seconds, "tokens": sum(len(e.ids) for e in encoded)}


peer = {"forward": Forward, "train": Train, "generate": Generate, "ctranslate2": CTranslate2, "tokenize": Tokenize}[kind]()
say(versions=peer.versions)
for line in sys.stdin:
    try:
        say(**peer.answer(json.loads(line)))
    except Exception as e:
        say(error=f"{type(e).__name__}: {str(e).strip().splitlines()[0] if str(e).strip() else ''}"[:300])
    gc.collect()
