"""Logits of SmolLM2-135M-Instruct (Q4_1 GGUF) by an independent forward pass in numpy.

Usage: python3 smollm2_logits.py MODEL.gguf > crates/model/tests/fixtures/smollm2_logits.txt

The weights are dequantised by the `gguf` package and all sums are numpy's, so that nothing is
shared with the engine but the file. Written from the formulas of the Llama architecture: RMS norm
(arXiv 1910.07467), rotary positions (2104.09864), grouped-query attention (2305.13245), SwiGLU
(2002.05202). Needs: pip install gguf==0.19.0 numpy.

Output, plain lines: `#` comments; `tokens ID...`; then for each position `position P`,
`argmax ID`, `logsumexp X`, `highest X` (the largest |logit|), and `ID LOGIT` lines.
"""

import sys

import gguf
import numpy as np

# "The capital of France is Paris, and the capital of Italy is Rome. The highest mountain in Europe
# is called Mont", as the model's own tokenizer cuts it.
TOKENS = [504, 3575, 282, 4649, 314, 7042, 28, 284, 260, 3575, 282, 7158, 314, 7268, 30, 378, 4919,
          6740, 281, 1910, 314, 1217, 6483]
POSITIONS = [0, 11, len(TOKENS) - 1]
LOGITS_EACH = 200


def main():
    reader = gguf.GGUFReader(sys.argv[1])
    tensors = {tensor.name: tensor for tensor in reader.tensors}

    def weight(name):
        tensor = tensors[name]
        return gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)

    def key(name):
        return reader.fields[f"llama.{name}"].contents()

    d, n_layers = key("embedding_length"), key("block_count")
    n_heads, n_kv_heads = key("attention.head_count"), key("attention.head_count_kv")
    head_dim = d // n_heads
    eps = np.float32(key("attention.layer_norm_rms_epsilon"))
    positions = np.arange(len(TOKENS))

    pairs = np.arange(head_dim // 2)
    angles = positions[:, None] * key("rope.freq_base") ** (-2.0 * pairs / head_dim)
    turns = np.exp(1j * angles)[:, None, :]  # [rows, 1, pairs]

    def rope(x):  # [rows, heads, head_dim]; pairs are neighbours in GGUF's llama weights
        turned = (x[..., 0::2] + 1j * x[..., 1::2]) * turns
        return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape).astype(np.float32)

    def rms_norm(x, scale):
        return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * scale

    def softmax(x):
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    future = np.triu(np.full((len(TOKENS), len(TOKENS)), -np.inf, dtype=np.float32), 1)
    embedding = weight("token_embd.weight")
    x = embedding[TOKENS]
    for layer in range(n_layers):
        block = f"blk.{layer}."
        normed = rms_norm(x, weight(block + "attn_norm.weight"))
        q = rope((normed @ weight(block + "attn_q.weight").T).reshape(-1, n_heads, head_dim))
        k = rope((normed @ weight(block + "attn_k.weight").T).reshape(-1, n_kv_heads, head_dim))
        v = (normed @ weight(block + "attn_v.weight").T).reshape(-1, n_kv_heads, head_dim)
        k, v = (np.repeat(t, n_heads // n_kv_heads, axis=1) for t in (k, v))
        scores = np.einsum("qhc,khc->hqk", q, k) / np.float32(np.sqrt(head_dim)) + future
        mixed = np.einsum("hqk,khc->qhc", softmax(scores), v).reshape(-1, d)
        x = x + mixed @ weight(block + "attn_output.weight").T
        normed = rms_norm(x, weight(block + "ffn_norm.weight"))
        gate = normed @ weight(block + "ffn_gate.weight").T
        gate = gate / (1 + np.exp(-gate))
        x = x + (gate * (normed @ weight(block + "ffn_up.weight").T)) @ weight(block + "ffn_down.weight").T
    assert x.dtype == np.float32
    logits = rms_norm(x, weight("output_norm.weight")) @ embedding.T

    print("# Logits of SmolLM2-135M-Instruct Q4_1; made by tools/reference/smollm2_logits.py.")
    print("tokens", *TOKENS)
    for position in POSITIONS:
        row = logits[position].astype(np.float64)
        top = row.max()
        print("position", position)
        print("argmax", row.argmax())
        print(f"logsumexp {top + np.log(np.exp(row - top).sum()):.6f}")
        print(f"highest {np.abs(row).max():.6f}")
        # The likeliest, and others spread over the whole vocabulary.
        chosen = list(np.argsort(-row)[:40])
        chosen += list(np.linspace(0, len(row) - 1, LOGITS_EACH - len(chosen)).astype(int))
        for token in chosen:
            print(token, f"{row[token]:.6f}")


main()
