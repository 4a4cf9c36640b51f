"""OLMo 2: norms only after blocks, and over all queries and all keys at once. OLMo 3: windows."""

from transformers import Olmo2Config, Olmo2ForCausalLM

from .case import Case, filled, without_modules
from .llama import SIZES, WITHOUT, attention, dense, head_dim, outside


def mapping(w, c):
    yield from outside(w, c)
    d, dim = c.hidden_size, head_dim(c)
    for i in range(c.num_hidden_layers):
        hf, block = f"model.layers.{i}.", f"blk.{i}."
        after = w(f"{block}post_attention_norm.weight", d)
        yield f"{hf}post_attention_layernorm.weight", after
        yield f"{hf}post_feedforward_layernorm.weight", w(f"{block}post_ffw_norm.weight", d)
        for part, heads in [("q", c.num_attention_heads), ("k", c.num_key_value_heads)]:
            norm = w(f"{block}attn_{part}_norm.weight", heads * dim, mean=1.4, scale=0.4)
            yield f"{hf}self_attn.{part}_norm.weight", norm
        yield from attention(w, c, i)
        yield from dense(w, c, i)


CASES = [
    Case("olmo2", Olmo2ForCausalLM, Olmo2Config(**{**SIZES, "pad_token_id": 0}), mapping,
         {**WITHOUT, "norm of queries": without_modules(".q_norm"),
          "norm of keys": without_modules(".k_norm"),
          "weights of the norm of queries": filled(1, ".q_norm.weight"),
          "norm after attention": without_modules("post_attention_layernorm"),
          "norm after feed-forward": without_modules("post_feedforward_layernorm")}),
]
