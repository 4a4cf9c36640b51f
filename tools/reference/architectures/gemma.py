"""Gemma 2 (both soft-caps, a window on every other layer) and Gemma 3 (a window on all but every
sixth layer, two rope bases, a norm on each query and key head); norms after blocks in both."""

import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, Gemma3ForCausalLM, Gemma3TextConfig

from .case import Case, filled, without_modules
from .llama import LINEAR, SIZES, attention, dense

NORMS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}


def shifted(tensor):
    """`transformers` adds 1 to a norm's weight; in GGUF it is already added. Exact in float32 from
    1/2 to 2, where the generator's norms lie."""
    assert 0.5 <= tensor.min() and tensor.max() <= 2
    return tensor - 1


def outside(w, c):
    embedding = w("token_embd.weight", c.vocab_size, c.hidden_size)  # Scaled by sqrt(d) when used.
    yield "model.embed_tokens.weight", embedding
    yield "model.norm.weight", shifted(w("output_norm.weight", c.hidden_size))


def layers(w, c):
    for i in range(c.num_hidden_layers):
        for theirs, ours in NORMS.items():
            norm = w(f"blk.{i}.{ours}.weight", c.hidden_size)
            yield f"model.layers.{i}.{theirs}.weight", shifted(norm)
        yield from attention(w, c, i)
        yield from dense(w, c, i)


def gemma2(w, c):
    yield from outside(w, c)
    yield from layers(w, c)


def gemma3(w, c):
    yield from outside(w, c)
    yield from layers(w, c)
    for i in range(c.num_hidden_layers):
        for part in "qk":
            norm = w(f"blk.{i}.attn_{part}_norm.weight", c.head_dim, mean=1.4, scale=0.4)
            yield f"model.layers.{i}.self_attn.{part}_norm.weight", shifted(norm)


def unscaled(model):
    model.model.embed_tokens.embed_scale = torch.tensor(1.0)


def always(kind):
    return {"layer_types": [f"{kind}_attention"] * 3}


SHAPE = {**SIZES, "hidden_size": 96, "intermediate_size": 64, "head_dim": 32, "sliding_window": 8,
         "tie_word_embeddings": True}

CASES = [
    # The converter writes no rope base: it is 10000 by agreement.
    Case("gemma2", Gemma2ForCausalLM,
         Gemma2Config(**{**SHAPE, "num_hidden_layers": 3, "query_pre_attn_scalar": 32,
                         "rope_theta": 10000.0, "attn_logit_softcapping": 2.0,
                         "final_logit_softcapping": 3.0}),
         gemma2,
         {"its epsilon": {"rms_norm_eps": 1e-6}, "its base": {"rope_theta": 2000.0},
          "window": always("full"), "full layer": always("sliding"),
          "window of 8, but 9": {"sliding_window": 9},
          "cap of scores": {"attn_logit_softcapping": None},
          "cap of logits": {"final_logit_softcapping": None},
          "scale by head": {"query_pre_attn_scalar": 24},
          "norm after attention": without_modules("post_attention_layernorm"),
          "norm after feed-forward": without_modules("post_feedforward_layernorm")}),
    # Seven layers, since the converter writes no pattern: every sixth is full, by agreement.
    Case("gemma3", Gemma3ForCausalLM,
         Gemma3TextConfig(**{**SHAPE, "num_hidden_layers": 7, "query_pre_attn_scalar": 32,
                             "rope_theta": 300.0, "rope_local_base_freq": 500.0,
                             "rope_scaling": LINEAR}),
         gemma3,
         {"its epsilon": {"rms_norm_eps": 1e-6},
          "window": {"sliding_window": 4096},
          "window of 8, but 9": {"sliding_window": 9},
          "its base": {"rope_theta": 10000.0},
          "base in windows": {"rope_local_base_freq": 10000.0},
          "rope scaling": {"rope_scaling": None},
          "full layer": {"layer_types": ["sliding_attention"] * 7},
          "norm of queries": filled(0, ".q_norm.weight"),
          "norm of keys": without_modules(".k_norm"),
          "norm after attention": without_modules("post_attention_layernorm"),
          "norm after feed-forward": without_modules("post_feedforward_layernorm"),
          "embedding scale": unscaled}),
]
