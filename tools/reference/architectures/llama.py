"""Llama (grouped queries, rotary positions with and without scaling, tied and untied output) and
those with its tensors: Mistral, Granite (multipliers), SmolLM3 (layers without positions)."""

from transformers import (GraniteConfig, GraniteForCausalLM, LlamaConfig, LlamaForCausalLM,
                          MistralConfig, MistralForCausalLM, SmolLM3Config, SmolLM3ForCausalLM)

from .case import Case


def paired(tensor, heads):
    """GGUF's rows of a head, which turn as neighbours (0, 1), (2, 3) ..., in `transformers`'
    order, where row i turns with row i + half."""
    grouped = tensor.reshape(heads, -1, 2, *tensor.shape[1:])
    return grouped.swapaxes(1, 2).reshape(tensor.shape)


def head_dim(c):
    return getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads


def attention(w, c, i, *, permuted=False):
    heads, kv_heads, dim = c.num_attention_heads, c.num_key_value_heads, head_dim(c)
    hf, block, d = f"model.layers.{i}.self_attn.", f"blk.{i}.attn_", c.hidden_size
    q = w(f"{block}q.weight", heads * dim, d, gain=1.5)
    k = w(f"{block}k.weight", kv_heads * dim, d, gain=1.5)
    yield f"{hf}q_proj.weight", paired(q, heads) if permuted else q
    yield f"{hf}k_proj.weight", paired(k, kv_heads) if permuted else k
    yield f"{hf}v_proj.weight", w(f"{block}v.weight", kv_heads * dim, d)
    yield f"{hf}o_proj.weight", w(f"{block}output.weight", d, heads * dim)


def dense(w, c, i):
    hf, block, d, ff = f"model.layers.{i}.mlp.", f"blk.{i}.ffn_", c.hidden_size, c.intermediate_size
    yield f"{hf}gate_proj.weight", w(f"{block}gate.weight", ff, d)
    yield f"{hf}up_proj.weight", w(f"{block}up.weight", ff, d)
    yield f"{hf}down_proj.weight", w(f"{block}down.weight", d, ff, gain=1.5)


def norms(w, c, i):
    hf, block, d = f"model.layers.{i}.", f"blk.{i}.", c.hidden_size
    yield f"{hf}input_layernorm.weight", w(f"{block}attn_norm.weight", d)
    yield f"{hf}post_attention_layernorm.weight", w(f"{block}ffn_norm.weight", d)


def outside(w, c):
    """What lies before the first layer and after the last."""
    scale = 0.3 if c.tie_word_embeddings else 1  # As an output matrix, a tied one makes logits.
    embedding = w("token_embd.weight", c.vocab_size, c.hidden_size, scale=scale)
    yield "model.embed_tokens.weight", embedding
    yield "model.norm.weight", w("output_norm.weight", c.hidden_size)
    if not c.tie_word_embeddings:
        yield "lm_head.weight", w("output.weight", c.vocab_size, c.hidden_size)


def mapping(w, c):
    yield from outside(w, c)
    for i in range(c.num_hidden_layers):
        yield from norms(w, c, i)
        yield from attention(w, c, i, permuted=True)
        yield from dense(w, c, i)


# The small size of all families. Epsilon and base are unusual, so that one who does not read them
# is found out.
SIZES = {
    "vocab_size": 160, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
    "rms_norm_eps": 0.02, "rope_theta": 2000.0, "tie_word_embeddings": False,
}
WITHOUT = {"its epsilon": {"rms_norm_eps": 1e-6}, "its base": {"rope_theta": 10000.0}}

SCALED = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32}
LINEAR = {"rope_type": "linear", "factor": 4.0}

CASES = [
    # rope_freqs.weight is what the converter makes of SCALED: its metadata has no word of it.
    Case("llama", LlamaForCausalLM,
         LlamaConfig(**SIZES, head_dim=32, rope_scaling=SCALED), mapping,
         {**WITHOUT, "rope scaling": {"rope_scaling": None}}, computed=("rope_freqs.weight",)),
    Case("llama_linear", LlamaForCausalLM, LlamaConfig(**SIZES, rope_scaling=LINEAR), mapping,
         {**WITHOUT, "rope scaling": {"rope_scaling": None}}),
    Case("llama_tied", LlamaForCausalLM,
         LlamaConfig(**{**SIZES, "tie_word_embeddings": True, "num_key_value_heads": 1}), mapping,
         WITHOUT),
    # GGUF has no key for a window of this architecture.
    Case("mistral", MistralForCausalLM, MistralConfig(**SIZES, head_dim=32, sliding_window=None),
         mapping, WITHOUT),
    # As hob reads Mistral 7B 0.1 from its folder.
    Case("mistral_window", MistralForCausalLM,
         MistralConfig(**SIZES, head_dim=32, sliding_window=8), mapping,
         {**WITHOUT, "window": {"sliding_window": None},
          "window of 8, but 9": {"sliding_window": 9}},
         unsaid={"llama.attention.sliding_window": 8}),
    Case("granite", GraniteForCausalLM,
         GraniteConfig(**{**SIZES, "tie_word_embeddings": True}, attention_multiplier=0.4,
                       embedding_multiplier=5.0, residual_multiplier=0.6, logits_scaling=1.5),
         mapping,
         {**WITHOUT, "attention multiplier": {"attention_multiplier": 0.25},
          "embedding multiplier": {"embedding_multiplier": 1.0},
          "residual multiplier": {"residual_multiplier": 1.0},
          "logits scaling": {"logits_scaling": 1.0}}),
    # Five layers, since every fourth has no positions, by agreement.
    Case("smollm3", SmolLM3ForCausalLM,
         SmolLM3Config(**{**SIZES, "num_hidden_layers": 5, "pad_token_id": 0}), mapping,
         {**WITHOUT, "layer without positions": {"no_rope_layers": [1] * 5}}),
]
