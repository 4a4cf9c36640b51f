"""A third opinion: llama.cpp runs the converter's file, and is compared with the committed figures.

This is the one proof that the metadata suffice: what the converter leaves out, a runtime can only
guess. It is no truth, though; where it is known to differ, KNOWN says why.
"""

import ctypes

import numpy as np

from .case import TOLERANCE
from .convert import convert
from .generator import Weights

TABLE = "its GELU is a table of f16"
KNOWN = {
    "bert": TABLE,
    "deepseek2": "it takes a model without q_lora_rank for another unless it has 26 or 27 layers",
    "gemma2": TABLE,
    "gemma3": TABLE,
    "gpt_oss": "it rounds YaRN's borders and reads no beta_fast",
    "phi3": "it has no window",
    "reranker": TABLE,
}
CONTEXT = 256
RANK = 4  # llama.cpp's number for pooling by a classifier.


def compare(case, figures, converter):
    """Prints the worst difference; raises where it is too great and not known."""
    import llama_cpp  # Only this file needs it.

    def vocab(writer):
        writer.add_tokenizer_model("no_vocab")
        if f"{writer.arch}.vocab_size" not in writer.kv_data[0]:
            writer.add_vocab_size(case.config.vocab_size)
        writer.add_token_type_count(getattr(case.config, "type_vocab_size", 1))

    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, None)
    with convert(case, case.build(case.config, Weights()), converter, vocab) as path:
        parameters = llama_cpp.llama_model_default_params()
        model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
    worst = difference(llama_cpp, model, figures) if model else None
    shown = "cannot load it" if worst is None else f"differs by {worst:.1e}"
    reason = KNOWN.get(case.name)
    print(f"{case.name}: llama.cpp {shown}" + (f": {reason}" if reason else ""))
    assert reason or worst is not None and worst < TOLERANCE, case.name


def difference(llama_cpp, model, figures):
    parameters = llama_cpp.llama_context_default_params()
    parameters.n_ctx, parameters.n_batch, parameters.n_ubatch = CONTEXT, CONTEXT, CONTEXT
    parameters.type_k = parameters.type_v = 0  # f32
    parameters.flash_attn_type = 0
    parameters.embeddings = "logits" not in figures
    if "score" in figures:
        parameters.pooling_type = RANK
    context = llama_cpp.llama_init_from_model(model, parameters)
    tokens = figures["tokens"]
    batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    for i, token in enumerate(tokens):
        batch.token[i], batch.pos[i], batch.logits[i] = token, i, 1
        batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
    assert llama_cpp.llama_decode(context, batch) == 0
    if "logits" in figures:
        pairs = [(llama_cpp.llama_get_logits_ith(context, position), row)
                 for position, row in zip(figures["positions"], figures["logits"])]
    else:
        row = figures.get("embedding") or [figures["score"]]
        pairs = [(llama_cpp.llama_get_embeddings_seq(context, 0), row)]
    pairs = [(np.ctypeslib.as_array(ctypes.cast(got, ctypes.POINTER(ctypes.c_float)), (len(row),)),
              row) for got, row in pairs]
    worst = max(float(np.abs(got - row).max()) for got, row in pairs)
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return worst
