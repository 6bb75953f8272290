"""The whole models that a calibration is checked against, and the anchors that set its scale.

No program of the suite has their shapes, and none of the anchors is among the models checked: what a calibration is
told and what it is asked stay apart. May import: whole_models, model_builders. To add a model: a line in the table,
and a file in models/ if nothing else describes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from perfmodel.measuring.model_builders import Sizes
from perfmodel.measuring.whole_models import Case, read_case

_MODELS = Path(__file__).parent / "models"


@dataclass(frozen=True, slots=True)
class ValidationModel:
    """A model with the sizes it is timed at.

    Args:
        name: what its points are called. source: for `load_model`.
        large_batch: it is timed at, too, where a batch of one hardly keeps the device busy (GPUs); 0 for not at all.
        anchor: its measurements may set the scale of a calibration; the others are for checking alone.
        convolutional: most of its work is in convolutions, which torch leaves in fp32 where it quantises linear layers.
    """

    name: str
    source: str
    sizes: Sizes
    large_batch: int = 0
    anchor: bool = False
    convolutional: bool = False


def _own(file: str) -> str:
    return str(_MODELS / file)


VALIDATION_MODELS = (
    ValidationModel("resnet18", "timm:resnet18", Sizes(), large_batch=64, convolutional=True),
    ValidationModel("resnet50", "timm:resnet50", Sizes(), large_batch=64, convolutional=True),
    ValidationModel("mobilenetv3", "timm:mobilenetv3_large_100", Sizes(), large_batch=64, convolutional=True),
    ValidationModel("efficientnet-b0", "timm:efficientnet_b0", Sizes(), large_batch=64, convolutional=True),
    ValidationModel("convnext-tiny", "timm:convnext_tiny", Sizes(), large_batch=64),
    ValidationModel("vit-small", "timm:vit_small_patch16_224", Sizes(), large_batch=64),
    ValidationModel("swin-tiny", "timm:swin_tiny_patch4_window7_224", Sizes(), large_batch=64),
    ValidationModel("bert-base", "bert-base", Sizes(input_tokens=32)),
    ValidationModel("bert-base", "bert-base", Sizes(input_tokens=128), large_batch=32),
    ValidationModel("bert-base", "bert-base", Sizes(input_tokens=384)),
    ValidationModel("gpt2-small", "gpt2-small", Sizes(input_tokens=128, output_tokens=64), large_batch=16),
    ValidationModel("small-llama", _own("small-llama.yaml"), Sizes(input_tokens=128, output_tokens=64), large_batch=16),
    ValidationModel("lstm", f"torch:{_own('lstm.py')}:language_model", Sizes()),
    ValidationModel("resnet34", "timm:resnet34", Sizes(), large_batch=64, anchor=True, convolutional=True),
    ValidationModel("small-encoder", _own("small-encoder.yaml"), Sizes(input_tokens=96), large_batch=32, anchor=True),
    ValidationModel(
        "small-decoder",
        _own("small-decoder.yaml"),
        Sizes(input_tokens=96, output_tokens=32),
        large_batch=16,
        anchor=True,
    ),
)


def validation_cases(
    precisions: Sequence[str],
    threads: Sequence[int],
    *,
    anchors_only: bool = False,
    runtime: str = "eager",
    device: str = "cpu",
) -> list[Case]:
    """The models as cases to be measured, for each number of threads and precision; no convolutional ones in int8.

    Raises:
        UnsupportedError: a precision or runtime that cannot be timed. ModelError: a front-end is not installed.
    """
    return [
        read_case(model.source, sizes, precision=precision, threads=count, runtime=runtime, name=model.name)
        for count in threads
        for precision in precisions
        for model in VALIDATION_MODELS
        if (model.anchor or not anchors_only) and not (model.convolutional and precision == "int8")
        for sizes in _sizes(model, device)
    ]


def _sizes(model: ValidationModel, device: str) -> list[Sizes]:
    large = [replace(model.sizes, batch=model.large_batch)] if model.large_batch and device == "cuda" else []
    return [model.sizes, *large]
