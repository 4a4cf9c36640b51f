"""Mixtures of experts: gpt-oss, Qwen3-MoE, Mixtral, Granite."""

import torch
from transformers import (GptOssConfig, GptOssForCausalLM, GraniteMoeSharedConfig,
                          GraniteMoeSharedForCausalLM, MixtralConfig, MixtralForCausalLM,
                          Qwen3MoeConfig, Qwen3MoeForCausalLM)

from .case import Case, filled, without_modules
from .llama import SIZES, WITHOUT, attention, norms, outside
from .qwen import head_norms

EXPERTS = 8


PARTS = ("gate", "up", "down")


def names_in(mlp):
    """The usual names of a router and of the parts of each expert."""
    return [f"{mlp}gate", *(f"{mlp}experts.{{}}.{part}_proj" for part in PARTS)]


def routed(w, c, i, names, width, n=EXPERTS):
    """Experts that `transformers` keeps one by one; GGUF stacks them. `names` are its router, and
    each expert's gate, up and down."""
    d, block = c.hidden_size, f"blk.{i}.ffn_"
    router, *parts = names
    # Lively, so that the best experts are clearly the best.
    yield f"{router}.weight", w(f"{block}gate_inp.weight", n, d, gain=2)
    shapes = {"gate": (n, width, d), "up": (n, width, d), "down": (n, d, width)}
    for (part, shape), theirs in zip(shapes.items(), parts):
        stacked = w(f"{block}{part}_exps.weight", *shape, gain=1.5)
        for e in range(n):
            yield theirs.format(e) + ".weight", stacked[e].clone()


def scores_of(suffix, chosen):
    """What routers with this name give each expert before softmax."""

    def routing(model, tokens):
        seen = []
        for name, module in model.named_modules():
            if name.endswith(suffix):
                def hook(module, inputs, _output):
                    x = inputs[0].reshape(-1, module.weight.shape[1])
                    bias = getattr(module, "bias", None)
                    seen.append((torch.nn.functional.linear(x, module.weight, bias), chosen))
                module.register_forward_hook(hook)
        model(tokens, use_cache=False)
        assert seen, suffix
        return seen

    return routing


def qwen3moe(w, c):
    yield from outside(w, c)
    for i in range(c.num_hidden_layers):
        yield from norms(w, c, i)
        yield from attention(w, c, i)
        yield from head_norms(w, c, i)
        names = names_in(f"model.layers.{i}.mlp.")
        yield from routed(w, c, i, names, c.moe_intermediate_size)


def mixtral(w, c):
    yield from outside(w, c)
    for i in range(c.num_hidden_layers):
        yield from norms(w, c, i)
        yield from attention(w, c, i, permuted=True)
        moe = f"model.layers.{i}.block_sparse_moe."
        names = [moe + "gate"] + [moe + f"experts.{{}}.w{part}" for part in (1, 3, 2)]
        yield from routed(w, c, i, names, c.intermediate_size)


def granitemoe(w, c):
    d, ff, shared = c.hidden_size, c.intermediate_size, c.shared_intermediate_size
    yield from outside(w, c)
    for i in range(c.num_hidden_layers):
        layer, ffn = f"model.layers.{i}.", f"blk.{i}.ffn_"
        yield from norms(w, c, i)
        yield from attention(w, c, i, permuted=True)
        moe = f"{layer}block_sparse_moe."
        yield f"{moe}router.layer.weight", w(f"{ffn}gate_inp.weight", EXPERTS, d, gain=2)
        gate = w(f"{ffn}gate_exps.weight", EXPERTS, ff, d, gain=1.5)
        up = w(f"{ffn}up_exps.weight", EXPERTS, ff, d, gain=1.5)
        yield f"{moe}input_linear.weight", torch.cat([gate, up], dim=1)
        down = w(f"{ffn}down_exps.weight", EXPERTS, d, ff, gain=1.5)
        yield f"{moe}output_linear.weight", down
        gate = w(f"{ffn}gate_shexp.weight", shared, d)
        up = w(f"{ffn}up_shexp.weight", shared, d)
        yield f"{layer}shared_mlp.input_linear.weight", torch.cat([gate, up])
        down = w(f"{ffn}down_shexp.weight", d, shared)
        yield f"{layer}shared_mlp.output_linear.weight", down


def gpt_oss(w, c):
    d, ff = c.hidden_size, c.intermediate_size
    heads, kv_heads, dim = c.num_attention_heads, c.num_key_value_heads, c.head_dim
    yield from outside(w, c)
    for i in range(c.num_hidden_layers):
        hf, block = f"model.layers.{i}.", f"blk.{i}."
        yield f"{hf}input_layernorm.weight", w(f"{block}attn_norm.weight", d)
        yield f"{hf}post_attention_layernorm.weight", w(f"{block}post_attention_norm.weight", d)
        yield from attention(w, c, i)
        rows = {"q": heads * dim, "k": kv_heads * dim, "v": kv_heads * dim, "o": d}
        for part, n in rows.items():
            ours = "output" if part == "o" else part
            yield f"{hf}self_attn.{part}_proj.bias", w(f"{block}attn_{ours}.bias", n, scale=0.5)
        yield f"{hf}self_attn.sinks", w(f"{block}attn_sinks.weight", heads, scale=1)

        router, experts, ffn = f"{hf}mlp.router.", f"{hf}mlp.experts.", f"{block}ffn_"
        yield f"{router}weight", w(f"{ffn}gate_inp.weight", EXPERTS, d, gain=2)
        yield f"{router}bias", w(f"{ffn}gate_inp.bias", EXPERTS, scale=0.5)
        # Wide, so that some reach the limit of 7; `transformers` has gate and up take turns.
        gate = w(f"{ffn}gate_exps.weight", EXPERTS, ff, d, gain=3)
        up = w(f"{ffn}up_exps.weight", EXPERTS, ff, d, gain=3)
        down = w(f"{ffn}down_exps.weight", EXPERTS, d, ff, gain=0.2)
        turns = torch.stack([gate, up], dim=2).reshape(EXPERTS, 2 * ff, d)
        yield f"{experts}gate_up_proj", turns.transpose(1, 2).contiguous()
        yield f"{experts}down_proj", down.transpose(1, 2).contiguous()
        gate = w(f"{ffn}gate_exps.bias", EXPERTS, ff, scale=0.5)
        up = w(f"{ffn}up_exps.bias", EXPERTS, ff, scale=0.5)
        yield f"{experts}gate_up_proj_bias", torch.stack([gate, up], dim=2).reshape(EXPERTS, 2 * ff)
        yield f"{experts}down_proj_bias", w(f"{ffn}down_exps.bias", EXPERTS, d, scale=0.5)


def unlimited(model):
    for layer in model.model.layers:
        layer.mlp.experts.limit = 1e9


# The original length is small, so that the slow and the fast pairs of a tiny head differ.
YARN = {"rope_type": "yarn", "factor": 4.0, "beta_fast": 4.0, "beta_slow": 1.0,
        "original_max_position_embeddings": 64, "truncate": False}

MIXED = {**SIZES, "num_experts_per_tok": 3}

CASES = [
    Case("qwen3moe", Qwen3MoeForCausalLM,
         Qwen3MoeConfig(**MIXED, num_experts=EXPERTS, head_dim=32, moe_intermediate_size=32,
                        norm_topk_prob=True),
         qwen3moe,
         {**WITHOUT, "norm of weights": {"norm_topk_prob": False},
          "third expert": {"num_experts_per_tok": 2}, "norm of queries": without_modules(".q_norm"),
          "norm of keys": without_modules(".k_norm")},
         routing=scores_of("mlp.gate", 3)),
    Case("mixtral", MixtralForCausalLM,
         MixtralConfig(**{**MIXED, "num_experts_per_tok": 2}, num_local_experts=EXPERTS,
                       head_dim=32),
         mixtral, {**WITHOUT, "second expert": {"num_experts_per_tok": 1}},
         routing=scores_of("block_sparse_moe.gate", 2)),
    Case("granitemoe", GraniteMoeSharedForCausalLM,
         GraniteMoeSharedConfig(**{**MIXED, "intermediate_size": 32, "tie_word_embeddings": True},
                                num_local_experts=EXPERTS, shared_intermediate_size=64,
                                attention_multiplier=0.4, embedding_multiplier=5.0,
                                residual_multiplier=0.6, logits_scaling=1.5),
         granitemoe,
         {**WITHOUT, "third expert": {"num_experts_per_tok": 2},
          "shared expert": filled(0, ".shared_mlp.output_linear.weight"),
          "residual multiplier": {"residual_multiplier": 1.0}},
         routing=scores_of("router.layer", 3)),
    Case("gpt_oss", GptOssForCausalLM,
         GptOssConfig(**{**MIXED, "num_hidden_layers": 3, "intermediate_size": 32},
                      num_local_experts=EXPERTS, head_dim=32, sliding_window=8, rope_scaling=YARN,
                      layer_types=[f"{kind}_attention" for kind in ("sliding", "full", "sliding")]),
         gpt_oss,
         {**WITHOUT, "sinks": filled(-1e9, ".sinks"), "rope scaling": {"rope_scaling": None},
          "rounding left out": {"rope_scaling": {**YARN, "truncate": True}},
          "attention factor": {"rope_scaling": {**YARN, "attention_factor": 1.0}},
          "window": {"layer_types": ["full_attention"] * 3},
          "full layer": {"layer_types": ["sliding_attention"] * 3},
          "limit of activations": unlimited,
          **{f"bias of {part}": filled(0, f".{part}_proj.bias") for part in "qkvo"},
          "bias of the router": filled(0, ".router.bias"),
          "bias of gate and up": filled(0, ".gate_up_proj_bias"),
          "bias of down": filled(0, ".down_proj_bias"),
          "third expert": {"num_experts_per_tok": 2}},
         routing=scores_of("mlp.router", 3)),
]
