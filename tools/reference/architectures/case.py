"""One tiny model: its figures, and the proof that they are those of the architecture."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from .convert import convert, read
from .exact import Float64
from .generator import Weights, values

TOKENS = 20
POSITIONS = [0, 7, 19]
TOLERANCE = 1e-4  # What an implementation is held to, for each logit.
NOISE = TOLERANCE / 4  # What float32 may cost `transformers` itself.
MOVED = 100 * TOLERANCE  # What leaving a feature out must cost, or the figures would not show it.
ROUTING_GAP = 1e-3  # Between the last expert that is chosen and the first that is not.


@dataclass
class Case:
    name: str
    model: type
    config: object
    # (weights, config) -> pairs of a `transformers` name and its tensor.
    mapping: Callable
    # What is left out -> changes of the configuration, or a function that changes the model.
    without: dict = field(default_factory=dict)
    # Tensors that the converter computes from the configuration: GGUF names.
    computed: tuple = ()
    # (model, tokens) -> the figures, by the name they have in the JSON.
    figures: Callable | None = None
    # Scores by which experts are chosen: (model, tokens) -> (scores [rows, experts], chosen).
    routing: Callable | None = None
    # Metadata of which the converter knows nothing.
    unsaid: dict = field(default_factory=dict)
    # More files that the converter reads: name -> contents.
    files: dict = field(default_factory=dict)
    # (model, folder): how the model is written for the converter, if not as `transformers` does.
    save: Callable | None = None
    # What the tokens are drawn from; another name where the first leaves experts too close.
    seed: str = "tokens"

    def build(self, config, weights):
        """The model with the generator's weights in it."""
        config = copy.deepcopy(config)
        config._attn_implementation = config._experts_implementation = "eager"
        model = self.model(config).eval()
        state = {}
        for name, tensor in self.mapping(weights, config):
            assert name not in state, name
            state[name] = tensor
        if getattr(config, "tie_word_embeddings", False) and "lm_head.weight" in model.state_dict():
            state["lm_head.weight"] = state["model.embed_tokens.weight"]
        model.load_state_dict(state, strict=True)
        return model

    def tokens(self):
        u = values(self.seed, TOKENS, 0.5, 0.5)
        return [int(x * self.config.vocab_size) for x in u]

    def run(self, model):
        with torch.no_grad():
            tokens = torch.tensor([self.tokens()])
            if self.figures is not None:
                return self.figures(model, tokens)
            return {"logits": model(tokens, use_cache=False).logits[0, POSITIONS]}

    def prove(self, converter):
        """Makes the JSON's contents; raises where a proof fails."""
        weights = Weights()
        model = self.build(self.config, weights)
        with convert(self, model, converter) as path:
            metadata, tensors = read(path)
        assert not self.unsaid.keys() & metadata.keys(), self.unsaid
        metadata |= self.unsaid
        listed = self.same_tensors(weights, tensors)

        single = self.run(model)
        exact = self.run_exactly(self.config)
        for name, row in exact.items():
            noise = float((single[name].double() - row).abs().max())
            print(f"{self.name}: {name} within {float(row.abs().max()):.2f}, "
                  f"noise of float32 {noise:.1e}")
            assert noise < NOISE, noise
        for feature, change in self.without.items():
            moved = self.moved(exact, change)
            print(f"{self.name}: without {feature} moves {moved:.3f}")
            assert moved > MOVED, (feature, moved)
        self.check_routing(model)
        return {"metadata": metadata, "tensors": listed, "tokens": self.tokens(), **exact}

    def run_exactly(self, config, change=None):
        torch.set_default_dtype(torch.float64)
        try:
            with Float64():
                model = self.build(config, Weights()).double()
                if change is not None:
                    change(model)
                return self.run(model)
        finally:
            torch.set_default_dtype(torch.float32)

    def moved(self, exact, change):
        if callable(change):
            other = self.run_exactly(self.config, change)
        else:
            config = copy.deepcopy(self.config)
            for key, value in change.items():
                assert getattr(config, key) != value, key
                setattr(config, key, value)
            other = self.run_exactly(config)
        return max(float((other[name] - row).abs().max()) for name, row in exact.items())

    def same_tensors(self, weights, tensors):
        """The converter's tensors are the generator's, each bit; in the converter's order."""
        listed = []
        for name, tensor in tensors.items():
            if name in self.computed:
                shape = list(reversed(tensor.shape))
                short = [float(str(np.float32(x))) for x in tensor.flatten()]
                listed.append({"name": name, "shape": shape, "values": short})
                continue
            row = weights.tensors[name]
            assert row["shape"] == list(reversed(tensor.shape)), (name, tensor.shape)
            made = values(name, tensor.size, row["mean"], row["scale"]).reshape(tensor.shape)
            assert np.array_equal(made.view(np.uint32), tensor.view(np.uint32)), name
            listed.append(row)
        assert weights.tensors.keys() <= tensors.keys(), weights.tensors.keys() - tensors.keys()
        return listed

    def check_routing(self, model):
        if self.routing is None:
            return
        with torch.no_grad():
            for scores, chosen in self.routing(model, torch.tensor([self.tokens()])):
                ranked = scores.sort(dim=-1, descending=True).values
                gap = float((ranked[..., chosen - 1] - ranked[..., chosen]).min())
                print(f"{self.name}: smallest routing gap {gap:.4f}")
                assert gap > ROUTING_GAP, gap


def without_modules(*suffixes):
    """A change that makes the modules of these names pass their input through."""

    def change(model):
        names = [name for name, _ in model.named_modules() if name.endswith(suffixes)]
        assert names, suffixes
        for name in names:
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, torch.nn.Identity())

    return change


def filled(value, *suffixes):
    """A change that fills the parameters of these names with one value."""

    def change(model):
        parameters = [p for name, p in model.named_parameters() if name.endswith(suffixes)]
        assert parameters, suffixes
        for parameter in parameters:
            parameter.data.fill_(value)

    return change
