"""Files of weights as model sources: which files are such, and which front-end reads them. Headers only, never weights.

May import: errors, types, and the front-ends of this folder (inside functions).
"""

from __future__ import annotations

from pathlib import Path

from perfmodel.graphs.decoder import Logits
from perfmodel.outside_files import is_folder, open_file
from perfmodel.types import Model

_GGUF_MAGIC = b"GGUF"
_SAFETENSORS = (".safetensors", ".safetensors.index.json")


def is_weight_file(path: Path) -> bool:
    """Whether a path is a GGUF file (by its first bytes or its name), a safetensors file, their index, or a folder."""
    name = path.name.lower()
    return name.endswith((".gguf", *_SAFETENSORS)) or _begins_as_gguf(path) or _holds_safetensors(path)


def read_weight_file(path: Path, *, image_size: int = 0, logits: Logits = "last") -> Model:
    """The model of a weight file.

    Args:
        image_size, logits: as `load_config`.

    Raises:
        ModelError, SpecError: a file that is damaged, or of a model that is not understood.
    """
    if path.name.lower().endswith(_SAFETENSORS) or is_folder(path):
        from perfmodel.graphs.safetensors_file import read_safetensors

        return read_safetensors(path, image_size=image_size, logits=logits)
    from perfmodel.graphs.gguf_file import read_gguf

    return read_gguf(path, logits=logits)


def _begins_as_gguf(path: Path) -> bool:
    try:
        with open_file(path) as file:
            return file.read(len(_GGUF_MAGIC)) == _GGUF_MAGIC
    except OSError:
        return False


def _holds_safetensors(path: Path) -> bool:
    try:
        return is_folder(path) and any(path.glob("*.safetensors"))
    except OSError:
        return False
