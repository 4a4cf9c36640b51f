"""Tiny models of every architecture, with weights that a name is enough to rebuild."""

import transformers

if transformers.__version__.startswith("4."):
    from . import bert, deepseek, experts, gemma, glm, llama, olmo, phi, qwen, qwen3next

    FAMILIES = [bert, deepseek, experts, gemma, glm, llama, olmo, phi, qwen, qwen3next]
else:
    from . import nomic, qwen35  # Those that an older version lacks.

    FAMILIES = [nomic, qwen35]

CASES = [case for family in FAMILIES for case in family.CASES]
