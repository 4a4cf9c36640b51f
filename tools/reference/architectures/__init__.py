"""Tiny models of every architecture, with weights that a name is enough to rebuild."""

from . import gemma, llama, qwen

CASES = [case for family in [gemma, llama, qwen] for case in family.CASES]
