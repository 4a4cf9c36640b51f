"""How fast positions turn where more of them are asked for than a model was trained for.

Usage: python3 tools/reference/ropes.py

Writes crates/model/tests/fixtures/ropes.json: of tiny models, what is asked for, and the inverse
frequencies, the factor on what turns and the scale of scores that `transformers` has then. `file`
is a fixture of architectures.py, or `tiny` for a plain llama with the base and the context of the
row. Needs the packages of architectures.py.
"""

import json
import math
import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # Nothing here may ask a hub.
sys.path.append(sys.path.pop(0))  # A script beside this one has the name of a package.

import torch  # noqa: E402
import transformers  # noqa: E402
from transformers import DeepseekV3Config, LlamaConfig  # noqa: E402
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS  # noqa: E402
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3Attention  # noqa: E402

from architectures.generator import values  # noqa: E402

FIXTURES = Path(__file__).parents[2] / "crates/model/tests/fixtures"


def rule(asked, factor, original, own):
    """`rope_scaling` and the length that is looked at. NTK's form that does not depend on the
    length is that of `dynamic` with a factor of 1 at the longest one."""
    if asked == "ntk":
        return {"rope_type": "dynamic", "factor": 1.0}, factor * original
    scaling = {"rope_type": asked, "factor": factor}
    if asked == "yarn":
        scaling |= {"original_max_position_embeddings": original, **own}
    return scaling, None


def turning(asked, factor, original, *, dims, base, own=None):
    scaling, length = rule(asked, factor, original, own or {})
    longest = math.floor(factor * original) if asked == "yarn" else original
    config = LlamaConfig(hidden_size=dims, num_attention_heads=1, head_dim=dims, rope_theta=base,
                         max_position_embeddings=longest, rope_scaling=scaling)
    make = ROPE_INIT_FUNCTIONS[scaling["rope_type"]]
    return make(config, torch.device("cpu"), length)


def metadata(name):
    text = (FIXTURES / f"architectures/{name}.json").read_text()
    made = json.loads(text)
    prefix = made["metadata"]["general.architecture"] + "."
    keys = {k.removeprefix(prefix): v for k, v in made["metadata"].items()}
    values = {tensor["name"]: tensor.get("values") for tensor in made["tensors"]}
    return keys, values


def of_fixture(name, asked, factor, *, original=None, own=None):
    keys, values = metadata(name)
    width = keys["embedding_length"] // keys["attention.head_count"]
    dims = keys.get("rope.dimension_count", keys.get("attention.key_length", width))
    original = original or keys["context_length"]
    frequencies, growth = turning(asked, factor, original, dims=dims,
                                  base=keys.get("rope.freq_base", 10000.0), own=own)
    factors = values.get("rope_freqs.weight")
    if factors:
        # As llama.cpp has it: the model's own factors stay, and the rule works on what they give.
        frequencies = frequencies / torch.tensor(factors)
    return row(name, asked, factor, frequencies, growth, context=math.floor(factor * original))


def row(file, asked, factor, frequencies, growth, **more):
    numbers = [float(f"{float(x):.9g}") for x in frequencies]
    return {"file": file, "asked": asked, "factor": factor, **more,
            "magnitude": float(f"{growth:.9g}"), "inverse_frequencies": numbers}


def scores(factor):
    """Of deepseek3: what YaRN makes of scores."""
    keys, _ = metadata("deepseek3")
    weight = keys["rope.scaling.yarn_log_multiplier"] * 10
    scaling = {"rope_type": "yarn", "factor": factor, "mscale": weight, "mscale_all_dim": weight,
               "original_max_position_embeddings":
                   keys["rope.scaling.original_context_length"]}
    config = DeepseekV3Config(num_attention_heads=4, rope_scaling=scaling,
                              qk_rope_head_dim=keys["rope.dimension_count"],
                              qk_nope_head_dim=keys["attention.key_length_mla"]
                              - keys["rope.dimension_count"])
    return float(f"{DeepseekV3Attention(config, 0).scaling:.9g}")


def longrope(context):
    """Of phi3_long, which is asked for nothing but a context."""
    keys, _ = metadata("phi3_long")
    text = (FIXTURES / "architectures/phi3_long.json").read_text()
    made = {tensor["name"]: tensor for tensor in json.loads(text)["tensors"]}
    dims, original = keys["rope.dimension_count"], keys["rope.scaling.original_context_length"]

    def factors(name):
        tensor = made[f"rope_factors_{name}.weight"]
        drawn = values(tensor["name"], dims // 2, tensor["mean"], tensor["scale"])
        return [float(x) for x in drawn]

    config = LlamaConfig(hidden_size=dims, num_attention_heads=1, head_dim=dims,
                         rope_theta=keys["rope.freq_base"],
                         max_position_embeddings=keys["context_length"],
                         original_max_position_embeddings=original,
                         rope_scaling={"rope_type": "longrope", "factor": 1.0,
                                       "long_factor": factors("long"),
                                       "short_factor": factors("short")})
    found = ROPE_INIT_FUNCTIONS["longrope"](config, torch.device("cpu"), context)
    return row("phi3_long", None, None, *found, context=context)


def rows():
    for base, trained, factors in [(10000.0, 4096, (1.0, 1.7, 8.0)), (1e6, 32768, (4.0,))]:
        for asked in ("linear", "ntk", "yarn"):
            for factor in factors:
                found = turning(asked, factor, trained, dims=128, base=base)
                yield row("tiny", asked, factor, *found, base=base, trained=trained,
                          context=math.floor(factor * trained))
    # Borders as they are; another factor than the file's, over what that one stretched.
    keys, _ = metadata("gpt_oss")
    own = {"truncate": False, "beta_fast": keys["rope.scaling.yarn_beta_fast"],
           "beta_slow": keys["rope.scaling.yarn_beta_slow"]}
    yield of_fixture("gpt_oss", "yarn", 6.0, own=own,
                     original=keys["rope.scaling.original_context_length"])
    keys, _ = metadata("deepseek3")
    weight = keys["rope.scaling.yarn_log_multiplier"] * 10
    own = {"mscale": weight, "mscale_all_dim": weight,
           "beta_fast": keys["rope.scaling.yarn_beta_fast"],
           "beta_slow": keys["rope.scaling.yarn_beta_slow"]}
    original = keys["rope.scaling.original_context_length"]
    yield of_fixture("deepseek3", "yarn", 8.0, own=own, original=original) | {"scale": scores(8.0)}
    # A model whose own rule is linear: the factor counts from before it.
    keys, _ = metadata("llama_linear")
    original = int(keys["context_length"] / keys["rope.scaling.factor"])
    yield of_fixture("llama_linear", "linear", 16.0, original=original)
    yield of_fixture("llama", "yarn", 2.0)  # Llama 3.1's factors.
    yield of_fixture("gemma3", "yarn", 2.0, original=gemma_original())
    yield of_fixture("qwen3next", "yarn", 4.0)  # Some columns of a head turn.
    yield of_fixture("smollm3", "ntk", 4.0)
    yield longrope(16)  # Its original context, and one more.
    yield longrope(17)


def gemma_original():
    keys, _ = metadata("gemma3")
    return int(keys["context_length"] / keys.get("rope.scaling.factor", 1.0))


def main():
    version = torch.__version__.partition("+")[0]
    source = (f"transformers {transformers.__version__}, torch {version}; "
              "tools/reference/ropes.py")
    made = ",\n".join(json.dumps(one, separators=(",", ":")) for one in rows())
    text = f'{{\n"source": {json.dumps(source)},\n"rows": [\n{made}\n]\n}}\n'
    assert len(text) <= 20 * 1024, len(text)
    (FIXTURES / "ropes.json").write_text(text)


main()
