"""BERT as an embedding model (all-MiniLM) and XLM-RoBERTa as a cross-encoder (bge-reranker)."""

import functools

from transformers import (BertConfig, BertModel, XLMRobertaConfig,
                          XLMRobertaForSequenceClassification)

import torch

from .case import Case, filled
from .qwen import pooled

PARTS = {"query": "attn_q", "key": "attn_k", "value": "attn_v"}


def linear(w, theirs, ours, rows, columns, gain=1.0):
    yield f"{theirs}.weight", w(f"{ours}.weight", rows, columns, gain=gain)
    yield f"{theirs}.bias", w(f"{ours}.bias", rows, scale=0.3)


def layer_norm(w, theirs, ours, width):
    yield f"{theirs}.weight", w(f"{ours}.weight", width)
    yield f"{theirs}.bias", w(f"{ours}.bias", width, scale=0.3)


def encoder(w, c):
    d, ff = c.hidden_size, c.intermediate_size
    yield "embeddings.word_embeddings.weight", w("token_embd.weight", c.vocab_size, d, scale=1)
    types = w("token_types.weight", c.type_vocab_size, d, scale=0.5)
    yield "embeddings.token_type_embeddings.weight", types
    yield from layer_norm(w, "embeddings.LayerNorm", "token_embd_norm", d)
    for i in range(c.num_hidden_layers):
        hf, block = f"encoder.layer.{i}.", f"blk.{i}."
        for theirs, ours in PARTS.items():
            gain = 1 if theirs == "value" else 1.5
            yield from linear(w, f"{hf}attention.self.{theirs}", block + ours, d, d, gain)
        yield from linear(w, f"{hf}attention.output.dense", f"{block}attn_output", d, d)
        yield from layer_norm(w, f"{hf}attention.output.LayerNorm", f"{block}attn_output_norm", d)
        yield from linear(w, f"{hf}intermediate.dense", f"{block}ffn_up", ff, d)
        yield from linear(w, f"{hf}output.dense", f"{block}ffn_down", d, ff, gain=1.5)
        yield from layer_norm(w, f"{hf}output.LayerNorm", f"{block}layer_output_norm", d)


def bert(w, c):
    positions = w("position_embd.weight", c.max_position_embeddings, c.hidden_size, scale=0.5)
    yield "embeddings.position_embeddings.weight", positions
    yield from encoder(w, c)


def reranker(w, c):
    d, before = c.hidden_size, c.pad_token_id + 1
    positions = w("position_embd.weight", c.max_position_embeddings - before, d, scale=0.5)
    # The first rows stand for padding; GGUF leaves them out.
    nothing = torch.full((before, d), torch.nan)
    yield "roberta.embeddings.position_embeddings.weight", torch.cat([nothing, positions])
    for name, tensor in encoder(w, c):
        yield f"roberta.{name}", tensor
    yield from linear(w, "classifier.dense", "cls", d, d)
    yield from linear(w, "classifier.out_proj", "cls.output", 1, d)


def mean(model, tokens):
    return {"embedding": model(tokens).last_hidden_state[0].mean(dim=0)}


def score(model, tokens):
    assert model.config.pad_token_id not in tokens
    return {"score": model(tokens).logits[0]}


SIZES = {"vocab_size": 160, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
         "num_attention_heads": 4, "max_position_embeddings": 32, "layer_norm_eps": 0.02}
WITHOUT = {
    "its epsilon": {"layer_norm_eps": 1e-12},
    "looking ahead": {"is_decoder": True},
    "type of the tokens": filled(0, "token_type_embeddings.weight"),
    "positions": filled(0, "position_embeddings.weight"),
    **{f"bias of {part}": filled(0, f".{part}.bias") for part in ("query", "value")},
    "bias of the feed-forward": filled(0, ".intermediate.dense.bias"),
    "bias of norms": filled(0, ".LayerNorm.bias"),
}

CASES = [
    Case("bert", functools.partial(BertModel, add_pooling_layer=False),
         BertConfig(**SIZES, type_vocab_size=2), bert, WITHOUT, figures=mean,
         files=pooled("mean_tokens")),
    Case("reranker", XLMRobertaForSequenceClassification,
         XLMRobertaConfig(**{**SIZES, "max_position_embeddings": 34}, type_vocab_size=1,
                          pad_token_id=1, num_labels=1),
         reranker, {**WITHOUT, "bias of the head": filled(0, "classifier.dense.bias")},
         figures=score),
]
