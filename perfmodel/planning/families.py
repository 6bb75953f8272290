"""Families of models that differ in size, by name. To add one: a line in `FAMILIES`.

May import: graphs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from perfmodel.graphs.overrides import expand_overrides

FAMILIES: dict[str, tuple[str, ...]] = {
    "llama": ("llama-3.2-1b", "llama-3.2-3b", "llama-3.1-8b", "llama-3.1-70b", "llama-3.1-405b"),
    "qwen": ("qwen3-0.6b", "qwen3-1.7b", "qwen3-4b", "qwen3-8b", "qwen3-14b", "qwen3-32b"),
    "gemma": ("gemma-3-1b", "gemma-3-4b", "gemma-3-12b", "gemma-3-27b"),
    "gpt-2": ("gpt2-small", "gpt2-medium", "gpt2-large", "gpt2-xl"),
    "gpt3": ("gpt3-125m", "gpt3-350m", "gpt3-760m", "gpt3-1.3b", "gpt3-2.7b", "gpt3-6.7b", "gpt3-13b", "gpt3-175b"),
    "opt": ("opt-125m", "opt-1.3b", "opt-6.7b", "opt-13b", "opt-30b", "opt-66b", "opt-175b"),
    "t5": ("t5-small", "t5-base", "t5-large", "t5-3b", "t5-11b"),
    "vit": ("vit-ti-16", "vit-s-16", "vit-b-16", "vit-l-16", "vit-h-14"),
    "resnet": ("resnet-18", "resnet-34", "resnet-50", "resnet-101", "resnet-152"),
    "efficientnet": tuple(f"timm:efficientnet_b{number}" for number in range(5)),
}


_PREFIX = "timm:"


def asked_families(names: Iterable[str]) -> tuple[str, ...]:
    """The families among the names, each once.

    >>> asked_families(["GPT-2", "bert-base"])
    ('gpt-2',)
    """
    return tuple(dict.fromkeys(name.lower() for name in names if name.lower() in FAMILIES))


def family_of(model: str, families: Sequence[str]) -> str:
    """Which of the families a model, by the name it has once loaded, belongs to; "" for none.

    >>> family_of("resnet-50", ["vit", "resnet"]), family_of("resnet-50", ["vit"])
    ('resnet', '')
    """
    members = {member.removeprefix(_PREFIX): family for family in families for member in FAMILIES[family]}
    return members.get(model, "")


def expand_families(names: Iterable[str]) -> tuple[str, ...]:
    """Models in place of the families among the names, and of those with several values (`|`), each once.

    >>> expand_families(["gpt-2", "bert-base", "gpt2-xl"])
    ('gpt2-small', 'gpt2-medium', 'gpt2-large', 'gpt2-xl', 'bert-base')
    """
    return tuple(
        dict.fromkeys(model for name in names for model in FAMILIES.get(name.lower()) or expand_overrides(name))
    )
