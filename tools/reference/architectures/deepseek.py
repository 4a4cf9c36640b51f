"""DeepSeek V2 Lite (latent attention, shared experts), V2 (queries through a latent too, groups of
experts, YaRN that changes the scale of scores) and V3 (experts chosen by corrected sigmoids)."""

import torch
from transformers import (DeepseekV2Config, DeepseekV2ForCausalLM, DeepseekV3Config,
                          DeepseekV3ForCausalLM)
from transformers.models.deepseek_v3.modeling_deepseek_v3 import yarn_get_mscale

from .case import Case, filled, without_modules
from .experts import PARTS, names_in, routed, scores_of
from .llama import SIZES, dense, norms, outside


def latent_attention(w, c, i):
    hf, block, d = f"model.layers.{i}.self_attn.", f"blk.{i}.attn_", c.hidden_size
    heads, nope, value = c.num_attention_heads, c.qk_nope_head_dim, c.v_head_dim
    turning, latent = c.qk_rope_head_dim, c.kv_lora_rank
    wide = heads * (nope + turning)
    if c.q_lora_rank is None:
        yield f"{hf}q_proj.weight", w(f"{block}q.weight", wide, d, gain=1.5)
    else:
        yield f"{hf}q_a_proj.weight", w(f"{block}q_a.weight", c.q_lora_rank, d)
        yield f"{hf}q_a_layernorm.weight", w(f"{block}q_a_norm.weight", c.q_lora_rank)
        yield f"{hf}q_b_proj.weight", w(f"{block}q_b.weight", wide, c.q_lora_rank, gain=1.5)
    yield f"{hf}kv_a_proj_with_mqa.weight", w(f"{block}kv_a_mqa.weight", latent + turning, d)
    yield f"{hf}kv_a_layernorm.weight", w(f"{block}kv_a_norm.weight", latent)
    # GGUF has keys and values apart, and the keys' part turned round: it is applied to queries.
    k = w(f"{block}k_b.weight", heads, latent, nope, gain=1.5).transpose(1, 2)
    v = w(f"{block}v_b.weight", heads, value, latent)
    yield f"{hf}kv_b_proj.weight", torch.cat([k, v], dim=1).reshape(-1, latent)
    yield f"{hf}o_proj.weight", w(f"{block}output.weight", d, heads * value)


def mapping(w, c):
    yield from outside(w, c)
    for i in range(c.num_hidden_layers):
        yield from norms(w, c, i)
        yield from latent_attention(w, c, i)
        if i < c.first_k_dense_replace:
            yield from dense(w, c, i)
            continue
        mlp, ffn = f"model.layers.{i}.mlp.", f"blk.{i}.ffn_"
        yield from routed(w, c, i, names_in(mlp), c.moe_intermediate_size, c.n_routed_experts)
        if c.scoring_func == "sigmoid":
            # All positive: `transformers` gives those outside the chosen groups a zero.
            bias = w(f"blk.{i}.exp_probs_b.bias", c.n_routed_experts, mean=0.3, scale=0.2)
            yield f"{mlp}gate.e_score_correction_bias", bias
        d, ff = c.hidden_size, c.moe_intermediate_size * c.n_shared_experts
        for part, shape in zip(PARTS, [(ff, d), (ff, d), (d, ff)]):
            shared = w(f"{ffn}{part}_shexp.weight", *shape)
            yield f"{mlp}shared_experts.{part}_proj.weight", shared


def by_groups(scores, strength):
    """A routing: scores of groups, then of the experts in the chosen ones."""
    def routing(model, tokens):
        seen = []

        def hook(gate, inputs, _output):
            groups = scores(gate, inputs[0].reshape(-1, gate.weight.shape[1]) @ gate.weight.T)
            strong = strength(groups)
            seen.append((strong, gate.topk_group))
            chosen = strong.topk(gate.topk_group, dim=-1).indices
            mask = torch.zeros_like(strong).scatter(1, chosen, 1).bool()
            seen.append(((groups * mask[..., None]).flatten(1), gate.top_k))

        for name, module in model.named_modules():
            if name.endswith("mlp.gate"):
                module.register_forward_hook(hook)
        model(tokens, use_cache=False)
        return seen

    return routing


# V3: corrected sigmoids, groups by their best two.
grouped = by_groups(
    lambda gate, x: (x.sigmoid() + gate.e_score_correction_bias).view(len(x), gate.n_group, -1),
    lambda groups: groups.topk(2, dim=-1).values.sum(dim=-1))
# V2: groups by their best.
grouped_by_best = by_groups(
    lambda gate, x: x.softmax(dim=-1).view(len(x), gate.num_group, -1),
    lambda groups: groups.max(dim=-1).values)


class AsPublished(DeepseekV2ForCausalLM):
    """What `transformers` 4.57.6 leaves out of V2: YaRN makes scores grow, by the square of its
    growth. Source: DeepSeek's own code, deepseek-ai/DeepSeek-VL2 at 8ed2d7f,
    deepseek_vl2/models/modeling_deepseek.py, `DeepseekV2Attention.__init__` (`softmax_scale`);
    `transformers` has it in V3."""

    def __init__(self, config):
        super().__init__(config)
        rope = config.rope_scaling or {}
        growth = yarn_get_mscale(rope.get("factor", 1), rope.get("mscale_all_dim", 0))
        for layer in self.model.layers:
            layer.self_attn.scaling *= growth * growth


# As its configuration must name it, for the converter.
AsPublished.__name__ = DeepseekV2ForCausalLM.__name__


def by_best_two(model):
    """Groups compared as in V3: by the sum of their two best experts."""

    def grouped(gate, x):
        x = x.reshape(-1, x.shape[-1])
        scores = (x @ gate.weight.T).softmax(dim=-1)
        groups = scores.view(len(scores), gate.num_group, -1)
        strength = groups.topk(2, dim=-1).values.sum(dim=-1)
        chosen = strength.topk(gate.topk_group, dim=-1).indices
        mask = torch.zeros_like(strength).scatter(1, chosen, 1).bool()
        best = (groups * mask[..., None]).flatten(1).topk(gate.top_k, dim=-1)
        return best.indices, best.values * gate.routed_scaling_factor

    for name, module in model.named_modules():
        if name.endswith("mlp.gate"):
            module.forward = grouped.__get__(module)


def usual_scale(model):
    for layer in model.model.layers:
        layer.self_attn.scaling = layer.self_attn.qk_head_dim ** -0.5


def uncorrected(model):
    for name, buffer in model.named_buffers():
        if name.endswith("e_score_correction_bias"):
            buffer.fill_(0.3)


# All widths differ. `transformers` norms the latents with an epsilon of 1e-6, whatever the
# configuration says, so that this must be 1e-6 too.
SHAPE = {**SIZES, "rms_norm_eps": 1e-6, "num_hidden_layers": 3, "num_key_value_heads": 4,
         "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 64, "kv_lora_rank": 96,
         "moe_intermediate_size": 32, "num_experts_per_tok": 3, "first_k_dense_replace": 1}
YARN = {"rope_type": "yarn", "factor": 4.0, "beta_fast": 4.0, "beta_slow": 1.0, "mscale": 0.8,
        "mscale_all_dim": 0.8, "original_max_position_embeddings": 64}
WITHOUT = {"its base": {"rope_theta": 10000.0},
           "scale of experts": {"routed_scaling_factor": 1.0},
           "shared experts": filled(0, ".shared_experts.down_proj.weight"),
           "norm of the latent": without_modules(".kv_a_layernorm")}

CASES = [
    Case("deepseek2", DeepseekV2ForCausalLM,
         DeepseekV2Config(**SHAPE, q_lora_rank=None, n_routed_experts=8, n_shared_experts=2,
                          routed_scaling_factor=1.7, topk_method="greedy", n_group=1, topk_group=1,
                          scoring_func="softmax", norm_topk_prob=False),
         mapping, WITHOUT, routing=scores_of("mlp.gate", 3), seed="other tokens"),
    Case("deepseek2_groups", AsPublished,
         DeepseekV2Config(**SHAPE, q_lora_rank=32, n_routed_experts=16, n_shared_experts=1,
                          routed_scaling_factor=1.7, topk_method="group_limited_greedy",
                          n_group=4, topk_group=2, scoring_func="softmax", norm_topk_prob=False,
                          rope_scaling=dict(YARN)),
         mapping,
         {**WITHOUT, "groups": {"topk_method": "greedy"}, "best of a group": by_best_two,
          "rope scaling": {"rope_scaling": None}, "scale of scores": usual_scale,
          "norm of the queries' latent": without_modules(".q_a_layernorm"),
          "rounding": {"rope_scaling": {**YARN, "truncate": False}}},
         routing=grouped_by_best, seed="tokens 36"),
    Case("deepseek3", DeepseekV3ForCausalLM,
         DeepseekV3Config(**SHAPE, q_lora_rank=32, n_routed_experts=16, n_shared_experts=1,
                          routed_scaling_factor=2.5, n_group=4, topk_group=2, norm_topk_prob=True,
                          scoring_func="sigmoid", rope_scaling=YARN),
         mapping,
         {**WITHOUT, "groups": {"n_group": 1, "topk_group": 1}, "correction": uncorrected,
          "norm of weights": {"norm_topk_prob": False}, "rope scaling": {"rope_scaling": None},
          "norm of the queries' latent": without_modules(".q_a_layernorm"),
          "scale of scores": {"rope_scaling": {**YARN, "mscale": 0, "mscale_all_dim": 0,
                                               "attention_factor": 1.0}},
          "rounding": {"rope_scaling": {**YARN, "truncate": False}}},
         routing=grouped),
]
