"""Families of models: what is left out together, so that no sibling of a model was fitted.

May import: nothing of the project.
"""

from __future__ import annotations

import re

_PREFIXES = re.compile(r"^(timm:)?((tf|legacy|gluon|test)_)*")


def model_family(name: str) -> str:
    """The first word of a model's name, without what tells only where its weights come from.

    >>> [model_family(name) for name in ("tf_efficientnetv2_s", "vit_base_patch16_224", "resnet50", "bert-large")]
    ['efficientnetv', 'vit', 'resnet', 'bert']
    """
    bare = _PREFIXES.sub("", name.rpartition("/")[2])
    return re.split(r"[_\d.-]", bare)[0] or bare
