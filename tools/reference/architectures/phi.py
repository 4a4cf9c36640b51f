"""Phi-3: query, key and value in one matrix, gate and up in another; a window; LongRoPE."""

from transformers import Phi3Config, Phi3ForCausalLM

from .case import Case
from .generator import values
from .llama import SIZES, WITHOUT, head_dim, norms, outside


def mapping(w, c):
    yield from outside(w, c)
    d, ff, dim = c.hidden_size, c.intermediate_size, head_dim(c)
    wide = (c.num_attention_heads + 2 * c.num_key_value_heads) * dim
    for i in range(c.num_hidden_layers):
        hf, block = f"model.layers.{i}.", f"blk.{i}."
        yield from norms(w, c, i)
        yield f"{hf}self_attn.qkv_proj.weight", w(f"{block}attn_qkv.weight", wide, d, gain=1.5)
        out = w(f"{block}attn_output.weight", d, c.num_attention_heads * dim)
        yield f"{hf}self_attn.o_proj.weight", out
        yield f"{hf}mlp.gate_up_proj.weight", w(f"{block}ffn_up.weight", 2 * ff, d)
        yield f"{hf}mlp.down_proj.weight", w(f"{block}ffn_down.weight", d, ff, gain=1.5)
    if c.rope_scaling:
        for name in FACTORS:
            w(name, PAIRS, **FACTORS[name])


PAIRS = 12  # Three quarters of a head of 32 turn.
FACTORS = {"rope_factors_long.weight": {"mean": 4.0, "scale": 2.0},
           "rope_factors_short.weight": {"mean": 1.5, "scale": 0.5}}
LONG, SHORT = ([float(x) for x in values(name, PAIRS, *FACTORS[name].values())] for name in FACTORS)


def longrope(original):
    """Past the `original` number of positions the long factors hold, up to it the short ones."""
    scaling = {"type": "longrope", "long_factor": LONG, "short_factor": SHORT}
    return Phi3Config(**{**SIZES, "hidden_size": 128, "pad_token_id": 0,
                         "max_position_embeddings": 1024},
                      rope_scaling=scaling, partial_rotary_factor=0.75,
                      original_max_position_embeddings=original)


CASES = [
    Case("phi3", Phi3ForCausalLM,
         Phi3Config(**{**SIZES, "pad_token_id": 0}, sliding_window=8,
                    original_max_position_embeddings=256),
         mapping,
         {**WITHOUT, "window": {"sliding_window": None},
          "window of 8, but 9": {"sliding_window": 9}}),
    Case("phi3_long", Phi3ForCausalLM, longrope(16), mapping,
         {**WITHOUT, "rope scaling": {"rope_scaling": None},
          "long factors": {"original_max_position_embeddings": 256}}),
    Case("phi3_short", Phi3ForCausalLM, longrope(256), mapping,
         {**WITHOUT, "rope scaling": {"rope_scaling": None},
          "short factors": {"original_max_position_embeddings": 16}}),
]
