"""Writes the GGUF files here and what transformers makes of them.

    pip install gguf==0.19.0 accelerate
    python inference/gguf/testdata/fixtures.py     # transformers 5.23.0, torch 2.15.0, sentencepiece

The models are random and of the smallest size; the vocabularies are learned from the text below.
"""

import io
import json
import pathlib
import warnings

import gguf
import numpy as np
import sentencepiece
import torch
import transformers
from gguf import GGMLQuantizationType as Q
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

here = pathlib.Path(__file__).parent
TEXT = """The quick brown fox jumps over the lazy dog. It's 2026, and they've counted 1234 foxes, haven't they?
The answer is that the fox, the dog and the others ran there and then; there was nothing that they could do.
Größe, naïve, café: 日本語 🙂. the the the thing another other mother father weather together\n\n  indented\ttabs
"""
CASES = ["", "The fox", " the  dog", "it's 12 345\n\nthey've 7", "a   1", "Größe 日本 🙂 naïve", "nai\u0308ve", "\t\ttabs \r\n x", "<|im_start|>user\nHi<|im_end|>\n",
         "x<|endoftext|>y", "<think>the other</think>", "   ", "THE'S they'LL", "½ ² 3٣"]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
USER = ["<think>"]
CHAT = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = QWEN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")


def byte_level(pre, normalizer=None, ignore_merges=False):
    tok = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tok.pre_tokenizer, tok.decoder = pre, decoders.ByteLevel()
    if normalizer:
        tok.normalizer = normalizer
    tok.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=340, special_tokens=SPECIAL, show_progress=False,
                                                       initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tok.add_tokens([transformers.AddedToken(t, normalized=False, special=False) for t in USER])
    return tok


def split(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def add_tokenizer(w, tok, pre):
    model = json.loads(tok.to_str())["model"]
    tokens = [t for t, _ in sorted(tok.get_vocab().items(), key=lambda x: x[1])]
    types = [gguf.TokenType.CONTROL if t in SPECIAL else gguf.TokenType.USER_DEFINED if t in USER else gguf.TokenType.NORMAL for t in tokens]
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(pre)
    w.add_token_list(tokens)
    w.add_token_types(types)
    w.add_token_merges([" ".join(m) for m in model["merges"]])
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_pad_token_id(2)
    w.add_add_bos_token(False)
    w.add_chat_template(CHAT)
    return len(tokens)


def add_config(w, config):
    w.add_block_count(config.num_hidden_layers)
    w.add_context_length(config.max_position_embeddings)
    w.add_embedding_length(config.hidden_size)
    w.add_feed_forward_length(config.intermediate_size)
    w.add_head_count(config.num_attention_heads)
    w.add_head_count_kv(config.num_key_value_heads)
    w.add_rope_freq_base(config.rope_parameters["rope_theta"])
    w.add_layer_norm_rms_eps(config.rms_norm_eps)
    w.add_vocab_size(config.vocab_size)


def permuted(v, heads):
    return v.reshape(heads, 2, v.shape[0] // heads // 2, *v.shape[1:]).swapaxes(1, 2).reshape(v.shape)


NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "input_layernorm": "attn_norm",
         "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
KINDS = [Q.Q4_1, Q.Q8_0, Q.Q4_0, Q.F16, Q.Q5_0, Q.BF16, Q.Q5_1, Q.F32]


def add_tensors(w, model, arch):
    config, kinds = model.config, 0
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        stem, end = name.rsplit(".", 1)
        layer = ""
        if stem.startswith("model.layers."):
            _, _, n, stem = stem.split(".", 3)
            layer = f"blk.{n}."
        v = tensor.numpy().astype(np.float32)
        if arch == "llama" and NAMES[stem] in ("attn_q", "attn_k"):
            v = permuted(v, config.num_attention_heads if NAMES[stem] == "attn_q" else config.num_key_value_heads)
        kind = Q.F32
        if v.ndim == 2:
            kind, kinds = KINDS[kinds % len(KINDS)], kinds + 1
        w.add_tensor(f"{layer}{NAMES[stem]}.{end}", gguf.quants.quantize(v, kind), raw_dtype=kind)


def finish(w):
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def model_file(name, arch, tok, pre, **more):
    torch.manual_seed(7)
    config_class, model_class = {"llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
                                 "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM)}[arch]
    w = gguf.GGUFWriter(here / f"{name}.gguf", arch)
    vocab = add_tokenizer(w, tok, pre)
    config = config_class(vocab_size=vocab, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                          max_position_embeddings=128, rms_norm_eps=1e-5, initializer_range=0.4, bos_token_id=1, eos_token_id=2, **more)
    model = model_class(config).eval()
    for p in model.parameters():  # norms and biases other than 1 and 0
        if p.ndim == 1:
            torch.nn.init.normal_(p, mean=1 if p.min() > 0.5 else 0, std=0.3)
    add_config(w, config)
    add_tensors(w, model, arch)
    finish(w)

    loaded = transformers.AutoModelForCausalLM.from_pretrained(here, gguf_file=f"{name}.gguf", dtype=torch.float32).eval()
    ids = torch.tensor([[5, 70, 300, 41, 2, 99, 130, 17, 250, 8, 311, 64]])
    with torch.no_grad():
        logits = loaded(ids).logits[0]
        greedy = loaded.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=16, do_sample=False, eos_token_id=-1, pad_token_id=0)[0, ids.shape[1]:]
    theirs = transformers.AutoTokenizer.from_pretrained(here, gguf_file=f"{name}.gguf")
    for text in CASES:
        if theirs(text)["input_ids"] != tok.encode(text).ids:
            print(name, repr(text), "transformers reads another way from the GGUF file:", theirs(text)["input_ids"], tok.encode(text).ids)
    out = {"ids": ids[0].tolist(), "greedy": greedy.tolist(), "logits": [[float(f"{x:.7g}") for x in row] for row in logits.tolist()],
           "texts": [{"text": t, "ids": tok.encode(t).ids, "decoded": tok.decode(tok.encode(t).ids, skip_special_tokens=True)} for t in CASES]}
    (here / f"{name}.json").write_text(json.dumps(out, ensure_ascii=False) + "\n")


def sentencepiece_file():
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(TEXT.split("\n")), model_writer=model, vocab_size=380, model_type="bpe", byte_fallback=True,
                                             normalization_rule_name="identity", remove_extra_whitespaces=False, character_coverage=0.98,
                                             user_defined_symbols=["<turn>"], minloglevel=2)
    sp = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    w = gguf.GGUFWriter(here / "sentencepiece.gguf", "llama")
    w.add_context_length(128)
    w.add_tokenizer_model("llama")
    w.add_token_list([sp.id_to_piece(i) for i in range(len(sp))])
    w.add_token_scores([sp.get_score(i) for i in range(len(sp))])
    kinds = [(sp.is_unknown, 2), (sp.is_control, 3), (sp.is_unused, 5), (sp.is_byte, 6)]
    w.add_token_types([next((k for is_kind, k in kinds if is_kind(i)), 4 if sp.id_to_piece(i) == "<turn>" else 1) for i in range(len(sp))])
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_unk_token_id(0)
    finish(w)
    texts = [t for t in CASES if "<|" not in t] + ["a<turn>b  c ", "  lead"]
    out = {"texts": [{"text": t, "ids": [1] + sp.encode(t), "decoded": sp.decode(sp.encode(t))} for t in texts]}
    (here / "sentencepiece.json").write_text(json.dumps(out, ensure_ascii=False) + "\n")


def kinds_file():
    """A tensor of every kind, and beside it what gguf-py makes of it."""
    rng = np.random.default_rng(3)
    w = gguf.GGUFWriter(here / "kinds.gguf", "llama")
    for kind in KINDS + [Q.Q4_K, Q.Q5_K, Q.Q6_K]:
        values, size = gguf.GGML_QUANT_SIZES[kind]
        if kind.name.endswith("_K"):  # gguf-py cannot write these: any bytes are values, but the scales must be numbers
            raw = rng.integers(0, 256, (2, 2 * size), dtype=np.uint8)
            for block in raw.reshape(-1, size):
                halves = rng.normal(0, 0.02, 2).astype(np.float16).view(np.uint8)
                if kind == Q.Q6_K:
                    block[-2:] = halves[:2]
                else:
                    block[:4] = halves
        else:
            raw = gguf.quants.quantize(rng.normal(0, 1, (3, 64)).astype(np.float32) * [[1], [1e-3], [1e-6 if kind == Q.F16 else 50]], kind)
        w.add_tensor(kind.name, raw, raw_dtype=kind)
        w.add_tensor(f"{kind.name}.want", gguf.quants.dequantize(raw, kind).astype(np.float32))
    finish(w)


def rope_file():
    """The factors of the wave lengths that LLaMA 3.2 1B is converted with."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    config = transformers.LlamaConfig(hidden_size=2048, num_attention_heads=32, num_key_value_heads=8, head_dim=64, max_position_embeddings=131072,
                                      rope_parameters={"rope_theta": 500000.0, "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0,
                                                       "high_freq_factor": 4.0, "original_max_position_embeddings": 8192})
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = 1 / 500000.0 ** (torch.arange(0, 64, 2, dtype=torch.float32) / 64)
    w = gguf.GGUFWriter(here / "rope.gguf", "llama")
    config.num_hidden_layers, config.vocab_size = 1, 1
    add_config(w, config)
    w.add_tensor("rope_freqs.weight", (plain / scaled).numpy().astype(np.float32))
    finish(w)


warnings.simplefilter("ignore")
transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
kinds_file()
rope_file()
sentencepiece_file()
digits = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
model_file("smollm", "llama", byte_level(digits), "smollm", tie_word_embeddings=True)
model_file("llama3", "llama", byte_level(split(LLAMA3), ignore_merges=True), "llama-bpe", tie_word_embeddings=False)
model_file("qwen2", "qwen2", byte_level(split(QWEN), normalizers.NFC()), "qwen2", tie_word_embeddings=False)
