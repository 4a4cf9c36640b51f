"""Qwen2 (biases on query, key and value) and Qwen3 (a norm on each query and key head), the latter
also as an embedding model."""

from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

from .case import Case, filled, without_modules
from .llama import SIZES, WITHOUT, attention, dense, head_dim, norms, outside


def biases(w, c, i):
    dim = head_dim(c)
    for part, heads in [("q", c.num_attention_heads), ("k", c.num_key_value_heads),
                        ("v", c.num_key_value_heads)]:
        bias = w(f"blk.{i}.attn_{part}.bias", heads * dim, scale=0.5)
        yield f"model.layers.{i}.self_attn.{part}_proj.bias", bias


def head_norms(w, c, i):
    for part in "qk":
        # Above 1, or all scores lie close together.
        norm = w(f"blk.{i}.attn_{part}_norm.weight", c.head_dim, mean=1.4, scale=0.4)
        yield f"model.layers.{i}.self_attn.{part}_norm.weight", norm


def qwen2(w, c):
    yield from outside(w, c)
    for i in range(c.num_hidden_layers):
        yield from norms(w, c, i)
        yield from attention(w, c, i)
        yield from biases(w, c, i)
        yield from dense(w, c, i)


def qwen3(w, c):
    yield from outside(w, c)
    for i in range(c.num_hidden_layers):
        yield from norms(w, c, i)
        yield from attention(w, c, i)
        yield from head_norms(w, c, i)
        yield from dense(w, c, i)


def pooled(mode):
    """The files by which an embedding model says how it pools."""
    modules = [{"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence.Pooling"}]
    return {"modules.json": modules, "1_Pooling/config.json": {f"pooling_mode_{mode}": True}}


def of_last_token(model, tokens):
    return {"embedding": model.model(tokens, use_cache=False).last_hidden_state[0, -1]}


CASES = [
    Case("qwen2", Qwen2ForCausalLM, Qwen2Config(**SIZES), qwen2,
         {**WITHOUT, **{f"bias of {part}": filled(0, f".{part}_proj.bias") for part in "qkv"}}),
    Case("qwen3", Qwen3ForCausalLM, Qwen3Config(**SIZES, head_dim=32), qwen3,
         {**WITHOUT, "norm of queries": without_modules(".q_norm"),
          "norm of keys": without_modules(".k_norm")}),
    Case("qwen3_embedding", Qwen3ForCausalLM,
         Qwen3Config(**{**SIZES, "tie_word_embeddings": True}, head_dim=32), qwen3, WITHOUT,
         figures=of_last_token, files=pooled("lasttoken")),
]
