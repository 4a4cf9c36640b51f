"""Qwen3.5, dense and with experts: Qwen3-Next with the heads of values in another order."""

import torch
from transformers import (Qwen3_5ForCausalLM, Qwen3_5MoeForCausalLM, Qwen3_5MoeTextConfig,
                          Qwen3_5TextConfig)

from .case import Case, filled
from .experts import EXPERTS, PARTS, scores_of
from .gemma import shifted
from .llama import SIZES, dense
from .qwen3next import gated_attention, logarithm


def grouped(tensor, c, dim=0):
    """GGUF has the first value head of each group, then the second of each; `transformers` has all
    heads of the first group, then all of the second."""
    groups, heads = c.linear_num_key_heads, c.linear_num_value_heads
    apart = tensor.unflatten(dim, (heads // groups, groups, -1))
    return apart.transpose(dim, dim + 1).flatten(dim, dim + 2).contiguous()


def delta_net(w, c, i):
    hf, block, d = f"model.layers.{i}.linear_attn.", f"blk.{i}.", c.hidden_size
    heads, value = c.linear_num_value_heads, c.linear_num_value_heads * c.linear_value_head_dim
    keys = 2 * c.linear_num_key_heads * c.linear_key_head_dim  # And queries.

    def mixed(tensor):
        return torch.cat([tensor[:keys], grouped(tensor[keys:], c)])

    yield f"{hf}in_proj_qkv.weight", mixed(w(f"{block}attn_qkv.weight", keys + value, d))
    yield f"{hf}in_proj_z.weight", grouped(w(f"{block}attn_gate.weight", value, d), c)
    yield f"{hf}in_proj_b.weight", grouped(w(f"{block}ssm_beta.weight", heads, d), c)
    yield f"{hf}in_proj_a.weight", grouped(w(f"{block}ssm_alpha.weight", heads, d), c)
    kernel = w(f"{block}ssm_conv1d.weight", keys + value, c.linear_conv_kernel_dim)
    yield f"{hf}conv1d.weight", mixed(kernel).unsqueeze(1)
    yield f"{hf}dt_bias", grouped(w(f"{block}ssm_dt.bias", heads, scale=0.5), c)
    yield f"{hf}A_log", grouped(logarithm(w(f"{block}ssm_a", heads, mean=-0.9, scale=0.4)), c)
    yield f"{hf}norm.weight", w(f"{block}ssm_norm.weight", c.linear_value_head_dim)
    out = w(f"{block}ssm_out.weight", d, value, gain=1.5)
    yield f"{hf}out_proj.weight", grouped(out, c, dim=1)


def experts(w, c, i):
    mlp, ffn, d = f"model.layers.{i}.mlp.", f"blk.{i}.ffn_", c.hidden_size
    ff, shared = c.moe_intermediate_size, c.shared_expert_intermediate_size
    yield f"{mlp}gate.weight", w(f"{ffn}gate_inp.weight", EXPERTS, d, gain=2)
    gate = w(f"{ffn}gate_exps.weight", EXPERTS, ff, d, gain=1.5)
    up = w(f"{ffn}up_exps.weight", EXPERTS, ff, d, gain=1.5)
    yield f"{mlp}experts.gate_up_proj", torch.cat([gate, up], dim=1)
    yield f"{mlp}experts.down_proj", w(f"{ffn}down_exps.weight", EXPERTS, d, ff, gain=1.5)
    for part, shape in zip(PARTS, [(shared, d), (shared, d), (d, shared)]):
        yield f"{mlp}shared_expert.{part}_proj.weight", w(f"{ffn}{part}_shexp.weight", *shape)
    gate = w(f"{ffn}gate_inp_shexp.weight", 1, d, gain=2)
    yield f"{mlp}shared_expert_gate.weight", gate


def mapping(w, c):
    d = c.hidden_size
    yield "model.embed_tokens.weight", w("token_embd.weight", c.vocab_size, d, scale=1)
    yield "model.norm.weight", shifted(w("output_norm.weight", d))
    yield "lm_head.weight", w("output.weight", c.vocab_size, d)
    for i, kind in enumerate(c.layer_types):
        hf, block = f"model.layers.{i}.", f"blk.{i}."
        yield f"{hf}input_layernorm.weight", shifted(w(f"{block}attn_norm.weight", d))
        after = w(f"{block}post_attention_norm.weight", d)
        yield f"{hf}post_attention_layernorm.weight", shifted(after)
        yield from (delta_net if kind == "linear_attention" else gated_attention)(w, c, i)
        yield from (experts if hasattr(c, "num_experts") else dense)(w, c, i)


# Text has one position where a picture has three: the sections change nothing.
ROPE = {"rope_type": "default", "rope_theta": 2000.0, "partial_rotary_factor": 0.25,
        "mrope_section": [3, 3, 2], "mrope_interleaved": True}
SHAPE = {
    **{key: value for key, value in SIZES.items() if key != "rope_theta"},
    "num_hidden_layers": 4, "rms_norm_eps": 1e-6, "head_dim": 64, "rope_parameters": ROPE,
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 32,
    "linear_value_head_dim": 32, "linear_conv_kernel_dim": 4,
}
WITHOUT = {
    "its base": {"rope_parameters": {**ROPE, "rope_theta": 10000.0}},
    "bias of the step": filled(0, ".dt_bias"), "decay": filled(-1e9, ".A_log"),
    "weights of the delta net's norm": filled(1, ".linear_attn.norm.weight"),
}

CASES = [
    Case("qwen35", Qwen3_5ForCausalLM, Qwen3_5TextConfig(**SHAPE), mapping, WITHOUT),
    Case("qwen35moe", Qwen3_5MoeForCausalLM,
         Qwen3_5MoeTextConfig(**SHAPE, num_experts=EXPERTS, num_experts_per_tok=3,
                              moe_intermediate_size=32, shared_expert_intermediate_size=64),
         mapping,
         {**WITHOUT, "third expert": {"num_experts_per_tok": 2},
          "shared expert": filled(0, ".shared_expert.down_proj.weight"),
          "gate of the shared expert": filled(0, ".shared_expert_gate.weight")},
         routing=scores_of("mlp.gate", 3)),
]
