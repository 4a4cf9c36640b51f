"""GLM-4: half of each head turns, neighbours together; norms around each block; gate and up in one
matrix."""

from transformers import Glm4Config, Glm4ForCausalLM

from .case import Case, without_modules
from .llama import SIZES, WITHOUT, attention, norms, outside
from .qwen import biases


def mapping(w, c):
    yield from outside(w, c)
    d, ff = c.hidden_size, c.intermediate_size
    for i in range(c.num_hidden_layers):
        hf, block = f"model.layers.{i}.", f"blk.{i}."
        yield from norms(w, c, i)
        after = w(f"{block}post_attention_norm.weight", d)
        yield f"{hf}post_self_attn_layernorm.weight", after
        yield f"{hf}post_mlp_layernorm.weight", w(f"{block}post_ffw_norm.weight", d)
        yield from attention(w, c, i)
        yield from biases(w, c, i)
        yield f"{hf}mlp.gate_up_proj.weight", w(f"{block}ffn_up.weight", 2 * ff, d)
        yield f"{hf}mlp.down_proj.weight", w(f"{block}ffn_down.weight", d, ff, gain=1.5)


def unbiased(model):
    for layer in model.model.layers:
        for part in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj):
            part.bias.data.zero_()


CASES = [
    Case("glm4", Glm4ForCausalLM,
         Glm4Config(**{**SIZES, "pad_token_id": 0}, head_dim=32, attention_bias=True), mapping,
         {**WITHOUT, "biases": unbiased, "half of a head": {"partial_rotary_factor": 1.0},
          "norm after attention": without_modules("post_self_attn_layernorm"),
          "norm after feed-forward": without_modules("post_mlp_layernorm")}),
]
