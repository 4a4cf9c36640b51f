"""The independent judge: llama.cpp's converter turns the model into a GGUF, which is read back."""

import contextlib
import importlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch


@contextlib.contextmanager
def convert(case, model, folder, vocab=None):
    """Path of the GGUF file that the converter writes for `model`; it stays until the context ends.

    `vocab` may write into the file what a runtime insists on; the model itself is under test.
    """
    for part in (folder, f"{folder}/gguf-py"):  # The converter goes with its own gguf package.
        if part not in sys.path:
            sys.path.insert(0, part)
    with tempfile.TemporaryDirectory() as temporary:
        source, target = Path(temporary) / "tiny", Path(temporary) / "tiny.gguf"
        source.mkdir()
        (case.save or type(model).save_pretrained)(model, source)
        # Some converters look how many words the tokenizer has, and cut the embedding to that.
        words = {f"w{i}": i for i in range(case.config.vocab_size)}
        tokenizer = {"model": {"type": "WordPiece", "vocab": words}, "added_tokens": []}
        for name, contents in {"tokenizer.json": tokenizer, **case.files}.items():
            (source / name).parent.mkdir(exist_ok=True)
            (source / name).write_text(json.dumps(contents))
        write(source, target, vocab)
        yield target


def write(source, target, vocab):
    conversion = importlib.import_module("conversion")
    base = importlib.import_module("conversion.base")
    hparams = base.ModelBase.load_hparams(source, False)
    kind = conversion.get_model_class(base.get_model_architecture(hparams, base.ModelType.TEXT))
    kind.no_mtp = True  # The tiny models have no layers that guess tokens ahead.
    with torch.inference_mode():
        converter = kind(source, base.gguf.LlamaFileType.ALL_F32, target)
        converter.set_vocab = lambda: vocab and vocab(converter.gguf_writer)
        converter.write()


def read(path):
    """Metadata and tensors (by GGUF name, f32)."""
    gguf = importlib.import_module("gguf")
    reader = gguf.GGUFReader(path)
    architecture = reader.fields["general.architecture"].contents()
    metadata = {}
    for name, field in reader.fields.items():
        if name == "general.architecture" or name.startswith(f"{architecture}."):
            real = field.types[-1] == gguf.GGUFValueType.FLOAT32
            metadata[name] = shortest(field.contents()) if real else field.contents()
    tensors = {}
    for tensor in reader.tensors:
        assert tensor.tensor_type == gguf.GGMLQuantizationType.F32, tensor.name
        shape = [int(n) for n in reversed(tensor.shape)]
        tensors[tensor.name] = np.array(tensor.data).reshape(shape)
    return metadata, tensors


def shortest(value):
    """Float32 as the shortest decimals that give it back."""
    if isinstance(value, list):
        return [shortest(x) for x in value]
    return float(str(np.float32(value)))
