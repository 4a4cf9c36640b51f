"""Tiny models of text and images as `transformers` writes them, beside the model of text in them.

Usage: python3 images.py [NAME...]

Each NAME writes crates/checkpoint/tests/fixtures/images/NAME.json: the model of architectures.py
whose text part it is, the `config.json` that `transformers` saves, how names of the text part
begin there, and all other tensors. `defaults.json` holds what the classes of configurations of
text assume where nothing is said.

Proved on the way: what begins so is the text model, each bit; all else belongs to images; and for
text the whole gives the logits of the text model alone.
"""

import json
import logging
import os
import sys
import tempfile
from importlib import import_module
from inspect import signature
from pathlib import Path

sys.path.append(sys.path.pop(0))  # A script beside this one has the name of a package.
os.environ["HF_HUB_OFFLINE"] = "1"  # Nothing here may ask a hub.
os.environ["TQDM_DISABLE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from transformers import PretrainedConfig  # noqa: E402

from architectures import CASES  # noqa: E402
from architectures.case import NOISE  # noqa: E402
from architectures.generator import Weights  # noqa: E402

FIXTURES = Path(__file__).parents[2] / "crates/checkpoint/tests/fixtures/images"
DEFAULTS = Path(__file__).parents[2] / "crates/checkpoint/data/defaults.json"
LIMIT = 20 * 1024  # Bytes of one file.

SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
         "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
CLIP = {**SMALL, "model_type": "clip_vision_model", "projection_dim": 16}
QWEN2 = {"depth": 1, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "mlp_ratio": 2}
QWEN25 = {"depth": 1, "hidden_size": 32, "out_hidden_size": 64, "num_heads": 2,
          "intermediate_size": 32, "fullatt_block_indexes": [0]}
QWEN3 = {"depth": 1, "hidden_size": 32, "out_hidden_size": 64, "num_heads": 2,
         "intermediate_size": 32, "num_position_embeddings": 4, "deepstack_visual_indexes": [0]}
SECTIONS = {"rope_type": "default", "mrope_section": [4, 2, 2]}

# Name: class, the text model, its model_type there, what it says more, the part for images, and
# what the whole says more.
OLDER = {
    "gemma3": ("Gemma3", "gemma3", "gemma3_text", {}, {**SMALL, "model_type": "siglip_vision_model"},
               {"mm_tokens_per_image": 4}),
    "llava": ("Llava", "llama", "llama", {}, CLIP, {}),
    "llava_mistral": ("Llava", "mistral_window", "mistral", {}, CLIP, {}),
    "llava_qwen2": ("Llava", "qwen2", "qwen2", {}, CLIP, {}),
    "mistral3": ("Mistral3", "mistral", "mistral", {},
                 {**SMALL, "model_type": "pixtral", "head_dim": 8}, {}),
    "qwen2_vl": ("Qwen2VL", "qwen2", "qwen2_vl_text", {"rope_scaling": SECTIONS}, QWEN2, {}),
    "qwen25_vl": ("Qwen2_5_VL", "qwen2", "qwen2_5_vl_text", {"rope_scaling": SECTIONS}, QWEN25, {}),
    "qwen3_vl": ("Qwen3VL", "qwen3", "qwen3_vl_text",
                 {"rope_scaling": {**SECTIONS, "mrope_section": [8, 4, 4],
                                   "mrope_interleaved": True}}, QWEN3, {}),
}
NEWER = {
    "qwen35": ("Qwen3_5", "qwen35", "qwen3_5_text", {}, QWEN3, {}),
    "qwen35moe": ("Qwen3_5Moe", "qwen35moe", "qwen3_5_moe_text", {}, QWEN3, {}),
}
IS_OLDER = transformers.__version__.startswith("4.")
ROWS = OLDER if IS_OLDER else NEWER

# What weights and figures do not depend on.
UNREAD = {"attention_dropout", "bos_token_id", "eos_token_id", "initializer_range",
          "output_router_logits", "pad_token_id", "pretraining_tp", "router_aux_loss_coef",
          "use_cache"}


def whole(row, case):
    """The model with images, its weights of text from the generator."""
    prefix, _, kind, text, vision, more = row
    wanted = getattr(transformers, f"{prefix}ForConditionalGeneration")
    text = {**case.config.to_dict(), **text, "model_type": kind, "architectures": None}
    config = getattr(transformers, f"{prefix}Config")(text_config=text, vision_config=vision, **more)
    config._attn_implementation = config.text_config._attn_implementation = "eager"
    for part in (config, config.text_config):
        part._experts_implementation = "eager"
    config.tie_word_embeddings = config.text_config.tie_word_embeddings
    torch.manual_seed(0)
    model = wanted(config).eval()
    mine = dict(case.mapping(Weights(), case.config))
    inner = {"lm_head.weight": model.lm_head.weight}
    inner |= {f"model.{name}": tensor
              for name, tensor in model.model.language_model.state_dict().items()}
    tied = {"lm_head.weight"} - mine.keys()
    assert inner.keys() - tied == mine.keys(), inner.keys() ^ mine.keys()
    with torch.no_grad():
        for name, tensor in mine.items():
            assert inner[name].shape == tensor.shape, name
            inner[name].copy_(tensor)
    return model, mine


def together(saved, mine, begin):
    """Experts in one tensor, as checkpoints.py has them."""
    for name in [name for name in mine if ".mlp.experts." in name]:
        name = begin["model."] + name.removeprefix("model.")
        if name in saved:
            continue
        before = name.rpartition(".")[0]
        parts = ["gate_proj", "up_proj"] if name.endswith("gate_up_proj") else ["down_proj"]
        count = sum(key.startswith(before) and key.endswith(f"{parts[0]}.weight") for key in saved)
        each = [torch.cat([saved.pop(f"{before}.{e}.{part}.weight") for part in parts])
                for e in range(count)]
        saved[name] = torch.stack(each)


def beginnings(saved):
    """How names of text begin in what was saved."""
    head = next((name for name in saved if name.endswith("lm_head.weight")), None)
    norms = [name for name in saved if name.endswith(".layers.0.input_layernorm.weight")]
    [norm] = [name for name in norms if "language_model" in name] or norms
    begin = {"model.": norm.removesuffix("layers.0.input_layernorm.weight")}
    if head:
        begin["lm_head."] = head.removesuffix("weight")
    return begin


def write(name, contents):
    version = torch.__version__.partition("+")[0]
    source = (f"transformers {transformers.__version__}, torch {version}; "
              f"tools/reference/images.py {name}")
    parts = {"source": source, **contents}
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(part)}" for key, part in parts.items())
    text = f"{{\n{lines}\n}}\n"
    json.loads(text)
    assert len(text) <= LIMIT, f"{name}: {len(text)} bytes"
    (FIXTURES / f"{name}.json").write_text(text)
    print(f"{name}: {len(text)} bytes")


def prove(name, row):
    case = next(case for case in CASES if case.name == row[1])
    model, mine = whole(row, case)
    with torch.no_grad():
        found = case.run(model)["logits"]
        alone = case.run(case.build(case.config, Weights()))["logits"]
    off = float((found - alone).abs().max())
    assert off < NOISE, off
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        saved = load_file(Path(folder) / "model.safetensors")
        config = json.loads((Path(folder) / "config.json").read_text())
    begin = beginnings(saved)
    together(saved, mine, begin)
    for theirs, tensor in mine.items():
        first = theirs.partition(".")[0] + "."
        moved = saved.pop(begin[first] + theirs.removeprefix(first))
        assert torch.equal(moved, tensor), theirs
    others = {key: list(tensor.shape) for key, tensor in saved.items()}
    print(f"{name}: text alone off by {off:.1e}, begins {begin}, {len(others)} tensors beside it")
    write(name, {"of": case.name, "config": config, "begins": begin, "others": others})


def defaults():
    """What the classes of configurations of text assume; those of another version stay."""
    made = json.loads(DEFAULTS.read_text()) if DEFAULTS.exists() else {}
    for kind in {row[2] for row in ROWS.values()}:
        known = {name: part.default for name, part in signature(class_of(kind)).parameters.items()}
        # A field that is said by a wider class too says nothing new.
        known = {name: value for name, value in known.items()
                 if name not in UNREAD and isinstance(value, (bool, int, float, str))
                 and (name == "tie_word_embeddings" or not hasattr(PretrainedConfig(), name))}
        made[kind] = dict(sorted(known.items()))
    lines = ",\n".join(f"{json.dumps(kind)}: {json.dumps(made[kind])}" for kind in sorted(made))
    DEFAULTS.write_text(f"{{\n{lines}\n}}\n")


def class_of(kind):
    """The class of a text part's configuration."""
    folder = kind.removesuffix("_text")
    module = import_module(f"transformers.models.{folder}.configuration_{folder}")
    [found] = {value for value in vars(module).values()
               if isinstance(value, type) and getattr(value, "model_type", None) == kind}
    return found


def main():
    logging.disable(logging.WARNING)
    FIXTURES.mkdir(parents=True, exist_ok=True)
    for name, row in ROWS.items():
        if not sys.argv[1:] or name in sys.argv[1:]:
            prove(name, row)
    if not sys.argv[1:]:
        defaults()


main()
