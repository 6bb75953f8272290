"""A server's own runs as anchors: what they say of the other predictions of the same deployment.

    log measured − log predicted of the runs ──BLUP over the levels of `effects`──▶ factors on TPOT and TTFT

A deployment is a model's architecture in a precision on a chip under an engine. Its runs in other layouts, versions or
lengths count for less, as the variances of those levels say. May import: errors, effects, standing; numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from perfmodel.errors import InputError
from perfmodel.serving.effects import ANCHORED_LEVELS, anchored
from perfmodel.serving.standing import Knowledge
from perfmodel.serving.step_table import Array

DEPLOYMENT = ("family", "hardware", "engine", "precision")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAnchor:
    """One measured run beside what is predicted for it without anchors.

    Args:
        labels: as `effects.LEVELS` needs them. sizes: its columns of `effects.slopes_of`.
        off: log measured − log predicted by metric (tpot, ttft); those that were measured.
    """

    labels: Mapping[str, str]
    sizes: tuple[float, ...]
    off: Mapping[str, float]


def own_anchors(anchors: Sequence[ServerAnchor], labels: Mapping[str, str]) -> tuple[ServerAnchor, ...]:
    """The anchors of a deployment.

    Raises:
        InputError: there are none; names what there is.
    """

    def name(of: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(of[part] for part in DEPLOYMENT)

    own = tuple(anchor for anchor in anchors if name(anchor.labels) == name(labels))
    if not own:
        held = sorted({_in_words(anchor.labels) for anchor in anchors})
        raise InputError(
            f"the anchors hold no run of {_in_words(labels)}; they are of {', '.join(held)}. "
            "Give runs of this deployment, or leave the anchors out"
        )
    return own


def _in_words(labels: Mapping[str, str]) -> str:
    return f"{labels['family']} in {labels['precision']} on {labels['hardware']} under {labels['engine']}"


def only_version(anchors: Sequence[ServerAnchor], otherwise: str) -> str:
    """The engine's version of all anchors; where they differ, another."""
    versions = {anchor.labels["version"] for anchor in anchors}
    return versions.pop() if len(versions) == 1 else otherwise


def factors_from_anchors(
    anchors: Sequence[ServerAnchor], known: Knowledge, labels: Mapping[str, str], sizes: Array
) -> dict[str, Array]:
    """Factors (n,) on predictions with these labels and sizes (n, 3), by metric; none where no anchor measured it."""
    found = {}
    for metric in ("tpot", "ttft"):
        told = [anchor for anchor in anchors if metric in anchor.off]
        if not told:
            continue
        mean, _ = anchored(
            known.effects_of(metric),
            {name: [anchor.labels[name] for anchor in told] for name in labels},
            np.array([anchor.sizes for anchor in told]),
            np.array([anchor.off[metric] for anchor in told]),
            {name: [text] * len(sizes) for name, text in labels.items()},
            sizes,
            ANCHORED_LEVELS,
        )
        found[metric] = np.asarray(np.exp(mean))
    return found
