"""The whole models that a calibration is checked against, and the anchors that set its scale.

No program of the suite has their shapes, and none of the anchors is among the models checked: what a calibration is
told and what it is asked stay apart. May import: whole_models, model_builders. To add a model: a line in the table,
and a file in models/ if nothing else describes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from perfmodel.measuring.model_builders import Sizes
from perfmodel.measuring.whole_models import Case, read_case

_MODELS = Path(__file__).parent / "models"


@dataclass(frozen=True, slots=True)
class ValidationModel:
    """A model with the sizes it is timed at.

    Args:
        name: what its points are called. source: for `load_model`.
        anchor: its measurements may set the scale of a calibration; the others are for checking alone.
        convolutional: most of its work is in convolutions, which torch leaves in fp32 where it quantises linear layers.
    """

    name: str
    source: str
    sizes: Sizes
    anchor: bool = False
    convolutional: bool = False


def _own(file: str) -> str:
    return str(_MODELS / file)


VALIDATION_MODELS = (
    ValidationModel("resnet18", "timm:resnet18", Sizes(), convolutional=True),
    ValidationModel("resnet50", "timm:resnet50", Sizes(), convolutional=True),
    ValidationModel("mobilenetv3", "timm:mobilenetv3_large_100", Sizes(), convolutional=True),
    ValidationModel("efficientnet-b0", "timm:efficientnet_b0", Sizes(), convolutional=True),
    ValidationModel("convnext-tiny", "timm:convnext_tiny", Sizes()),
    ValidationModel("vit-small", "timm:vit_small_patch16_224", Sizes()),
    ValidationModel("swin-tiny", "timm:swin_tiny_patch4_window7_224", Sizes()),
    ValidationModel("bert-base", "bert-base", Sizes(input_tokens=32)),
    ValidationModel("bert-base", "bert-base", Sizes(input_tokens=128)),
    ValidationModel("bert-base", "bert-base", Sizes(input_tokens=384)),
    ValidationModel("gpt2-small", "gpt2-small", Sizes(input_tokens=128, output_tokens=64)),
    ValidationModel("small-llama", _own("small-llama.yaml"), Sizes(input_tokens=128, output_tokens=64)),
    ValidationModel("lstm", f"torch:{_own('lstm.py')}:language_model", Sizes()),
    ValidationModel("resnet34", "timm:resnet34", Sizes(), anchor=True, convolutional=True),
    ValidationModel("small-encoder", _own("small-encoder.yaml"), Sizes(input_tokens=96), anchor=True),
    ValidationModel("small-decoder", _own("small-decoder.yaml"), Sizes(input_tokens=96, output_tokens=32), anchor=True),
)


def validation_cases(
    precisions: Sequence[str], threads: Sequence[int], *, anchors_only: bool = False, runtime: str = "eager"
) -> list[Case]:
    """The models as cases to be measured, for each number of threads and precision; no convolutional ones in int8.

    Raises:
        UnsupportedError: a precision or runtime that cannot be timed. ModelError: a front-end is not installed.
    """
    return [
        read_case(model.source, model.sizes, precision=precision, threads=count, runtime=runtime, name=model.name)
        for count in threads
        for precision in precisions
        for model in VALIDATION_MODELS
        if (model.anchor or not anchors_only) and not (model.convolutional and precision == "int8")
    ]
