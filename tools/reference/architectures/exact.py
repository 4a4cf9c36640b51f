"""Runs a `transformers` model wholly in float64, whatever it casts to on the way."""

import torch
from torch.overrides import TorchFunctionMode


def widened(value):
    if value is torch.float32 or value is torch.bfloat16:
        return torch.float64
    if isinstance(value, torch.Tensor) and value.dtype is torch.float32:
        return value.double()
    return value


class Float64(TorchFunctionMode):
    """Every call that names or makes float32 gets float64 instead."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.Tensor.float:
            return args[0].double()
        args = [widened(argument) for argument in args]
        return function(*args, **{key: widened(value) for key, value in (kwargs or {}).items()})
