"""Tiny models of every architecture, with weights that a name is enough to rebuild."""

from . import deepseek, experts, gemma, llama, olmo, phi, qwen, qwen3next

FAMILIES = [deepseek, experts, gemma, llama, olmo, phi, qwen, qwen3next]
CASES = [case for family in FAMILIES for case in family.CASES]
