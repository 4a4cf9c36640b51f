"""A hob that scores pairs, asked as clients of Jina and Cohere ask.

Usage: rerank.py BASE_URL MODEL
"""

import json
import sys
import urllib.error
import urllib.request

base_url, model = sys.argv[1], sys.argv[2]
QUERY = "the cat"
DOCUMENTS = ["hello world", "the cat sat!", "a dog"]


def ask(path, **body):
    data = json.dumps({"model": model, **body}).encode()
    request = urllib.request.Request(f"{base_url}{path}", data)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


status, whole = ask("/v1/rerank", query=QUERY, documents=DOCUMENTS, return_documents=True)
assert status == 200, whole
results = whole["results"]
scores = [result["relevance_score"] for result in results]
assert scores == sorted(scores, reverse=True) and all(0 < score < 1 for score in scores), scores
assert sorted(result["index"] for result in results) == [0, 1, 2], results
assert all(result["document"]["text"] == DOCUMENTS[result["index"]] for result in results), results
assert whole["usage"]["prompt_tokens"] == whole["usage"]["total_tokens"] > 0, whole["usage"]
_, top = ask("/v1/rerank", query=QUERY, documents=DOCUMENTS, top_n=2)
assert top["results"] == [
    {"index": result["index"], "relevance_score": result["relevance_score"]}
    for result in results[:2]
], top
for wrong, word in [
    ({"query": QUERY}, "documents"),
    ({"query": QUERY, "documents": []}, "documents"),
    ({"query": QUERY, "documents": [1]}, "document"),
    ({"documents": DOCUMENTS}, "query"),
    ({"query": QUERY, "documents": ["word " * 99]}, "takes 64"),
    ({"query": "word " * 99, "documents": [""] * 2048}, "shorten the query"),
    ({"query": QUERY, "documents": ["a"] * 2049}, "2049 texts"),
    ({"query": QUERY, "documents": DOCUMENTS, "top_n": 0}, "top_n"),
    ({"query": QUERY, "documents": DOCUMENTS, "max_chunks_per_doc": 3}, "max_chunks_per_doc"),
]:
    status, answer = ask("/v1/rerank", **wrong)
    assert status == 400 and word in answer["error"]["message"], answer
status, answer = ask("/v1/embeddings", input="a")
assert status == 400 and "scores pairs" in answer["error"]["message"], answer
status, answer = ask("/v1/models")
assert status == 405 and "POST" in answer["error"]["message"], answer
print("rerank: all passed")
