"""nomic-bert: BERT with rotary positions, a gated feed-forward and no biases in its matrices.

`transformers` has it since 5; the converter reads the form of the published checkpoints, in which
query, key and value are one matrix and the configuration has other names.
"""

import json

import safetensors.torch
import torch
from transformers import NomicBertConfig, NomicBertModel

from .bert import layer_norm, mean
from .case import Case, filled
from .generator import Weights
from .qwen import pooled


def layers(w, c):
    """Each layer's (name there, tensor), as the published checkpoints have them."""
    d, ff = c.hidden_size, c.intermediate_size
    for i in range(c.num_hidden_layers):
        hf, block = f"encoder.layers.{i}.", f"blk.{i}."
        yield f"{hf}attn.Wqkv.weight", w(f"{block}attn_qkv.weight", 3 * d, d, gain=1.5)
        yield f"{hf}attn.out_proj.weight", w(f"{block}attn_output.weight", d, d)
        yield from layer_norm(w, f"{hf}norm1", f"{block}attn_output_norm", d)
        yield f"{hf}mlp.fc11.weight", w(f"{block}ffn_up.weight", ff, d)
        yield f"{hf}mlp.fc12.weight", w(f"{block}ffn_gate.weight", ff, d)
        yield f"{hf}mlp.fc2.weight", w(f"{block}ffn_down.weight", d, ff, gain=1.5)
        yield from layer_norm(w, f"{hf}norm2", f"{block}layer_output_norm", d)


def published(w, c):
    d = c.hidden_size
    yield "embeddings.word_embeddings.weight", w("token_embd.weight", c.vocab_size, d, scale=1)
    types = w("token_types.weight", c.type_vocab_size, d, scale=0.5)
    yield "embeddings.token_type_embeddings.weight", types
    yield from layer_norm(w, "emb_ln", "token_embd_norm", d)
    yield from layers(w, c)


RENAMED = {
    "encoder.layers": "layers", "emb_ln": "embeddings.LayerNorm", "attn.out_proj":
    "self_attn.o_proj", "fc11": "up_proj", "fc12": "gate_proj", "fc2": "down_proj",
    "norm1": "post_attention_layernorm", "norm2": "post_mlp_layernorm",
}


def mapping(w, c):
    for name, tensor in published(w, c):
        for theirs, here in RENAMED.items():
            name = name.replace(theirs, here)
        if "Wqkv" not in name:
            yield name, tensor
            continue
        for part, rows in zip("qkv", tensor.chunk(3)):
            yield name.replace("attn.Wqkv", f"self_attn.{part}_proj"), rows


def save(model, folder):
    c = model.config
    tensors = {name: tensor.contiguous() for name, tensor in published(Weights(), c)}
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["NomicBertModel"], "model_type": "published_nomic_bert",
        "vocab_size": c.vocab_size, "n_embd": c.hidden_size, "n_inner": c.intermediate_size,
        "n_layer": c.num_hidden_layers, "n_head": c.num_attention_heads, "n_positions": 8192,
        "max_trained_positions": 2048, "layer_norm_epsilon": c.layer_norm_eps,
        "type_vocab_size": c.type_vocab_size, "rotary_emb_base": c.rope_parameters["rope_theta"],
        "rotary_emb_fraction": 1.0, "rotary_emb_interleaved": False, "rotary_emb_scale_base": None,
        "activation_function": "swiglu", "causal": False, "prenorm": False,
        "qkv_proj_bias": False, "mlp_fc1_bias": False, "mlp_fc2_bias": False,
    }))


CASES = [
    Case("nomic_bert", NomicBertModel,
         NomicBertConfig(vocab_size=160, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
                         num_attention_heads=4, layer_norm_eps=0.02,
                         rope_parameters={"rope_type": "default", "rope_theta": 500.0}),
         mapping,
         {"its epsilon": {"layer_norm_eps": 1e-12},
          "its base": {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}},
          "type of the tokens": filled(0, "token_type_embeddings.weight"),
          "bias of norms": filled(0, "layernorm.bias"),
          "gate": lambda model: [setattr(layer.mlp, "act_fn", torch.nn.Identity())
                                 for layer in model.layers]},
         figures=mean, files=pooled("mean_tokens"), save=save),
]
