"""The official OpenAI client against a hob that embeds: forms of input and output, refusals.

Usage: openai_embeddings.py BASE_URL MODEL
"""

import math
import sys

import openai

base_url, model = sys.argv[1], sys.argv[2]
client = openai.OpenAI(base_url=f"{base_url}/v1", api_key="none", max_retries=0)

TEXTS = ["hello world", "the cat sat!", "a"]


def embed(texts, **options):
    answer = client.embeddings.create(model=model, input=texts, **options)
    assert [item.index for item in answer.data] == list(range(len(answer.data)))
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0, answer.usage
    assert answer.usage.model_extra["hob"]["energy_joules"] >= 0, answer.usage
    return [item.embedding for item in answer.data]


def near(found, wanted, most=1e-6):
    assert len(found) == len(wanted), (len(found), len(wanted))
    assert all(abs(a - b) < most for a, b in zip(found, wanted)), (found[:4], wanted[:4])


def refused(texts, word, **options):
    try:
        client.embeddings.create(model=model, input=texts, **options)
    except openai.BadRequestError as error:
        assert word in error.message, error.message
        return
    raise AssertionError(f"not refused: {word}")


# Without a wish the client asks for base64 and decodes it.
vectors = embed(TEXTS)
for vector in vectors:
    near([math.hypot(*vector)], [1.0], 1e-5)
for text, vector in zip(TEXTS, vectors):
    assert embed(text) == [vector], "beside neighbours as alone"
for vector, plain in zip(vectors, embed(TEXTS, encoding_format="float")):
    near(plain, vector)
cut = embed(TEXTS, dimensions=8)
for vector, short in zip(vectors, cut):
    length = math.hypot(*vector[:8])
    near(short, [value / length for value in vector[:8]], 1e-5)
# [CLS] a [SEP]
assert embed([[2, 5, 3]]) == embed([2, 5, 3]) == [vectors[2]]

# Independent truth: llama-server (llama.cpp 0c1e57098) on the same file.
LLAMA_CPP = [
    [0.001902712, 0.09609076, 0.05134073, 0.22605996],
    [-0.04526665, 0.05946254, 0.07758642, 0.18516964],
    [-0.10292278, 0.02478349, 0.13681628, 0.21565358],
]
for vector, wanted in zip(vectors, LLAMA_CPP):
    near(vector[: len(wanted)], wanted, 1e-4)

refused([], "0 texts")
refused("word " * 99, "the model takes 64")
refused(TEXTS, "dimensions", dimensions=65)
refused([[1, 2], "a", None], "input")
assert len(embed("word " * 99, extra_body={"truncate": True})) == 1
try:
    client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hi"}])
    raise AssertionError("an encoder chats")
except openai.BadRequestError as error:
    assert "embeds or scores" in error.message, error.message
print("embeddings: all passed")
