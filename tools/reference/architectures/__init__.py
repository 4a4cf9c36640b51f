"""Tiny models of every architecture, with weights that a name is enough to rebuild."""

from . import experts, gemma, llama, olmo, phi, qwen

CASES = [case for family in [experts, gemma, llama, olmo, phi, qwen] for case in family.CASES]
