"""Models that were pasted or uploaded: files in a folder of the server, read by its workers alone.

A reference, `upload:` and a digest of the content, stands for a model wherever a name does. May import: graphs, types,
errors; the front-ends inside functions.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path

from perfmodel.errors import InputError, ModelError
from perfmodel.types import Model

PREFIX = "upload:"
CONFIG, ONNX = ".json", ".onnx"
LOADED = 8  # models that a worker keeps
_SOURCES = {CONFIG: "a pasted config.json", ONNX: "an uploaded ONNX file"}


class Uploads:
    """The models of a folder, as a worker reads them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._models: OrderedDict[tuple[str, int], Model] = OrderedDict()

    def load(self, reference: str, image_size: int = 0) -> Model:
        """The model that a reference stands for; the same object as long as it is kept.

        Raises:
            InputError: the server does not have it, or it takes no image size. ModelError: it cannot be read.
        """
        key = (reference, image_size)
        if key not in self._models:
            self._models[key] = self._read(reference, image_size)
            if len(self._models) > LOADED:
                self._models.popitem(last=False)
        self._models.move_to_end(key)
        return self._models[key]

    def _read(self, reference: str, image_size: int) -> Model:
        stem = self._folder / reference.removeprefix(PREFIX)
        for suffix, read in ((CONFIG, _read_config), (ONNX, _read_onnx)):
            path = stem.with_suffix(suffix)
            if path.is_file():
                model = read(path, image_size)
                if image_size and "image_size" not in model.facts:
                    raise InputError(f"{model.name} has no image size that could be set; leave it out")
                return model
        raise InputError(f"this server does not have {reference} (any more): paste or upload the model again")


def _read_config(path: Path, image_size: int) -> Model:
    from perfmodel.graphs.huggingface import load_config

    held = json.loads(path.read_bytes())
    return load_config(held["config"], name=held["name"], source=_SOURCES[CONFIG], image_size=image_size)


def _read_onnx(path: Path, image_size: int) -> Model:
    from dataclasses import replace

    from perfmodel.graphs.onnx_file import read_onnx_file

    try:
        model = read_onnx_file(path, image_size=image_size)
    except ModelError as error:  # where the file lies is nobody's business
        raise ModelError(str(error).replace(str(path), "the ONNX file")) from None
    return replace(model, name="uploaded.onnx", source=_SOURCES[ONNX])
