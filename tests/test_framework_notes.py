"""What a prediction of a network in a framework says about itself."""

from __future__ import annotations

import pytest

from perfmodel import predict
from perfmodel.predict import LAUNCHING
from perfmodel.preparing import prepare

VIT = "google-vit-base-patch16-224"


def notes(model: str, runtime: str, **options: object) -> str:
    made = predict(model, "rtx-3090", precision="fp16", runtime=runtime, **options)  # type: ignore[arg-type]
    return "\n".join(made.provenance["notes"])


def test_small_batches_are_wider_and_say_so() -> None:
    small, large = (predict("timm:resnet18", "rtx-3090", precision="fp16", batch=batch) for batch in (1, 512))
    assert LAUNCHING in small.provenance["notes"]
    assert LAUNCHING not in large.provenance["notes"]
    ratio = [own.phases["forward"].time.high / own.phases["forward"].time.seconds for own in (small, large)]
    assert ratio[0] > 1.5 * ratio[1]


def test_other_networks_than_image_models_are_told() -> None:
    assert "fitted to image models" in notes("bert-base-uncased", "eager")
    assert "fitted to image models" not in notes("timm:resnet18", "eager")


def test_a_machine_that_was_calibrated_itself_was_not_fitted_to_image_models() -> None:
    made = predict("bert-base-uncased", "epyc-zen5-2-cores", precision="fp32", runtime="eager")
    assert made.provenance["level"] == "device"
    assert "fitted to image models" not in "\n".join(made.provenance["notes"])


@pytest.mark.parametrize(
    ("runtime", "said"),
    [("graphs", "changes nothing"), ("compiled", "not measured"), ("eager", "")],
)
def test_channels_last_where_it_says_nothing(runtime: str, said: str) -> None:
    told = notes("timm:resnet18", runtime, channels_last=True)
    assert (said in told) if said else ("channels-last" not in told)


def test_channels_last_leaves_other_kernels_alone() -> None:
    plain, last = (predict("llama-3.1-8b", "h100-sxm", channels_last=own).seconds for own in (False, True))
    assert plain == last


def test_recurrent_layers_keep_their_steps() -> None:
    """One token after another: no class of a framework's kernels knows that."""
    prepared = prepare("timm:sequencer2d_s", "rtx-3090", precision="fp16")
    scopes = {group.kinds[0]: group.scope for group in prepared.programs["forward"].groups}
    assert scopes["recurrent"].startswith("recurrent.")
    assert scopes["linear"] == "framework.gpu.eager"
