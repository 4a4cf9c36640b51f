"""Figures of tiny models of every architecture, from `transformers`.

Usage: python3 architectures.py [--peer] CONVERTER_FOLDER [NAME...]

CONVERTER_FOLDER is a checkout of llama.cpp (the folder of convert_hf_to_gguf.py): its converter is
the judge of tensor names, orders and metadata. Each NAME writes
crates/model/tests/fixtures/architectures/NAME.json; without a name all are written. What is
proved on the way stands in README.md beside this file. With --peer nothing is written: llama.cpp
itself (the Python package llama_cpp) runs the models and is compared with the committed figures.

Needs: pip install torch==2.11.0 transformers==4.57.6 gguf==0.19.0 numpy==2.2.6
sentencepiece==0.2.3 protobuf==4.25.9; for nomic_bert and qwen35, transformers==5.23.0 instead.
"""

import json
import logging
import os
import sys
from pathlib import Path

sys.path.append(sys.path.pop(0))  # A script beside this one has the name of a package.
os.environ["HF_HUB_OFFLINE"] = "1"  # Nothing here may ask a hub.
os.environ["TQDM_DISABLE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"  # For tiny matrices more threads only wait for each other.

import torch  # noqa: E402
import transformers  # noqa: E402

from architectures import CASES, peer  # noqa: E402
from architectures.case import POSITIONS  # noqa: E402

FIXTURES = Path(__file__).parents[2] / "crates/model/tests/fixtures/architectures"
LIMIT = 20 * 1024  # Bytes of one file.


def digits(row):
    """Numbers as the shortest decimals that hold 6 significant digits."""
    return "[" + ",".join(f"{float(x):.6g}" for x in row) + "]"


def lines(name, made):
    """The JSON, one line a tensor and one a position, so that a change can be read."""
    version = torch.__version__.partition("+")[0]
    source = (f"transformers {transformers.__version__}, torch {version}; "
              f"tools/reference/architectures.py {name}")
    yield "{"
    yield f'"source": {json.dumps(source)},'
    yield '"metadata": {'
    yield ",\n".join(f"  {json.dumps(key)}: {json.dumps(v)}" for key, v in made["metadata"].items())
    yield '},\n"tensors": ['
    yield ",\n".join(json.dumps(row, separators=(",", ":")) for row in made["tensors"])
    yield f'],\n"tokens": {json.dumps(made["tokens"])},'
    if "logits" in made:
        rows = ",\n".join(digits(row) for row in made["logits"])
        yield f'"logits": [\n{rows}\n],\n"positions": {json.dumps(POSITIONS)}'
    if "embedding" in made:
        yield f'"embedding": {digits(made["embedding"])}'
    if "score" in made:
        yield f'"score": {float(made["score"]):.6g}'
    yield "}"


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--peer"]
    if not arguments:
        sys.exit(__doc__)
    logging.disable(logging.WARNING)
    converter, *names = arguments
    unknown = set(names) - {case.name for case in CASES}
    assert not unknown, f"no such architecture: {unknown}"
    FIXTURES.mkdir(exist_ok=True)
    for case in CASES:
        if names and case.name not in names:
            continue
        path = FIXTURES / f"{case.name}.json"
        if "--peer" in sys.argv:
            peer.compare(case, json.loads(path.read_text()), converter)
            continue
        text = "\n".join(lines(case.name, case.prove(converter))) + "\n"
        json.loads(text)
        assert len(text) <= LIMIT, f"{case.name}: {len(text)} bytes"
        path.write_text(text)
        print(f"{case.name}: {len(text)} bytes")


main()
