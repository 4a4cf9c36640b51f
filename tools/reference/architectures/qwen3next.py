"""Qwen3-Next: gated delta nets with every fourth layer gated attention, a gated shared expert."""

import torch
from transformers import Qwen3NextConfig, Qwen3NextForCausalLM

from .case import Case, filled
from .experts import EXPERTS, PARTS, names_in, routed, scores_of
from .gemma import shifted
from .llama import SIZES


def logarithm(a):
    """A_log, of which the converter's -exp(A_log) is `a` to the bit."""
    found = torch.log(-a)
    for _ in range(64):
        made = -torch.exp(found)
        too_small = made > a
        step = torch.where(too_small, torch.tensor(torch.inf), torch.tensor(-torch.inf))
        found = torch.where(made == a, found, torch.nextafter(found, step))
    assert torch.equal(-torch.exp(found), a)
    return found


def delta_net(w, c, i):
    hf, block, d = f"model.layers.{i}.linear_attn.", f"blk.{i}.", c.hidden_size
    groups, heads = c.linear_num_key_heads, c.linear_num_value_heads
    k_dim, v_dim, each = c.linear_key_head_dim, c.linear_value_head_dim, heads // groups
    wide = 2 * groups * k_dim + heads * v_dim
    # GGUF: all queries, all keys, all values, and the gates apart; here they lie group by group.
    mixed = w(f"{block}attn_qkv.weight", wide, d)
    q, k, v = mixed.split([groups * k_dim, groups * k_dim, heads * v_dim])
    z = w(f"{block}attn_gate.weight", heads * v_dim, d)
    parts = [part.reshape(groups, -1, d) for part in (q, k, v, z)]
    yield f"{hf}in_proj_qkvz.weight", torch.cat(parts, dim=1).reshape(-1, d)
    yield f"{hf}in_proj_ba.weight", w(f"{block}ssm_ba.weight", 2 * heads, d)
    kernel = c.linear_conv_kernel_dim
    yield f"{hf}conv1d.weight", w(f"{block}ssm_conv1d.weight", wide, kernel).unsqueeze(1)
    yield f"{hf}dt_bias", w(f"{block}ssm_dt.bias", heads, scale=0.5)
    yield f"{hf}A_log", logarithm(w(f"{block}ssm_a", heads, mean=-0.9, scale=0.4))
    yield f"{hf}norm.weight", w(f"{block}ssm_norm.weight", v_dim)
    yield f"{hf}out_proj.weight", w(f"{block}ssm_out.weight", d, heads * v_dim, gain=1.5)


def gated_attention(w, c, i):
    hf, block, d = f"model.layers.{i}.self_attn.", f"blk.{i}.attn_", c.hidden_size
    heads, kv_heads, dim = c.num_attention_heads, c.num_key_value_heads, c.head_dim
    # Each head's query, then its gate.
    yield f"{hf}q_proj.weight", w(f"{block}q.weight", 2 * heads * dim, d, gain=1.5)
    yield f"{hf}k_proj.weight", w(f"{block}k.weight", kv_heads * dim, d, gain=1.5)
    yield f"{hf}v_proj.weight", w(f"{block}v.weight", kv_heads * dim, d)
    yield f"{hf}o_proj.weight", w(f"{block}output.weight", d, heads * dim)
    for part in "qk":
        norm = w(f"{block}{part}_norm.weight", dim, mean=1.4, scale=0.4)
        yield f"{hf}{part}_norm.weight", shifted(norm)


def mapping(w, c):
    d, ff = c.hidden_size, c.shared_expert_intermediate_size
    yield "model.embed_tokens.weight", w("token_embd.weight", c.vocab_size, d, scale=1)
    yield "model.norm.weight", shifted(w("output_norm.weight", d))
    yield "lm_head.weight", w("output.weight", c.vocab_size, d)
    for i, kind in enumerate(c.layer_types):
        hf, block = f"model.layers.{i}.", f"blk.{i}."
        yield f"{hf}input_layernorm.weight", shifted(w(f"{block}attn_norm.weight", d))
        after = w(f"{block}post_attention_norm.weight", d)
        yield f"{hf}post_attention_layernorm.weight", shifted(after)
        yield from (delta_net if kind == "linear_attention" else gated_attention)(w, c, i)
        mlp, ffn = f"{hf}mlp.", f"{block}ffn_"
        yield from routed(w, c, i, names_in(mlp), c.moe_intermediate_size)
        for part, shape in zip(PARTS, [(ff, d), (ff, d), (d, ff)]):
            shared = w(f"{ffn}{part}_shexp.weight", *shape)
            yield f"{mlp}shared_expert.{part}_proj.weight", shared
        gate = w(f"{ffn}gate_inp_shexp.weight", 1, d, gain=2)
        yield f"{mlp}shared_expert_gate.weight", gate


CASES = [
    Case("qwen3next", Qwen3NextForCausalLM,
         # 1e-6 is the epsilon of the norm of the delta net's queries and keys in any case.
         Qwen3NextConfig(**{**SIZES, "num_hidden_layers": 4, "rms_norm_eps": 1e-6}, head_dim=64,
                         partial_rotary_factor=0.25, linear_num_key_heads=2,
                         linear_num_value_heads=4, linear_key_head_dim=32,
                         linear_value_head_dim=32, linear_conv_kernel_dim=4, num_experts=EXPERTS,
                         num_experts_per_tok=3, norm_topk_prob=True, moe_intermediate_size=32,
                         shared_expert_intermediate_size=64),
         mapping,
         {"its base": {"rope_theta": 10000.0}, "partial rotation": {"partial_rotary_factor": 1.0},
          "norm of weights": {"norm_topk_prob": False},
          "third expert": {"num_experts_per_tok": 2},
          "shared expert": filled(0, ".shared_expert.down_proj.weight"),
          "gate of the shared expert": filled(0, ".shared_expert_gate.weight"),
          "bias of the step": filled(0, ".dt_bias"), "decay": filled(-1e9, ".A_log"),
          "weights of the delta net's norm": filled(1, ".linear_attn.norm.weight")},
         routing=scores_of("mlp.gate", 3)),
]
