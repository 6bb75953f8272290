"""The JSON document of `perfmodel compress`; `schemas/compress.schema.json` publishes its form.

All figures are SI. May import: planning and below. To add a key: a line here and one in the schema, which refuses keys
it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from perfmodel.planning.compression import Compression, Variant, cost_per_million_usd
from perfmodel.report.compression_words import compression_sentences
from perfmodel.report.documents import setting_document
from perfmodel.types import OpTime, Prediction


def compress_document(results: Sequence[Compression], notes: Sequence[str]) -> dict[str, Any]:
    """Every chip and batch with the original, its variants and sentences."""
    return {"results": [_result_document(each) for each in results], "notes": list(notes)}


def _result_document(result: Compression) -> dict[str, Any]:
    request = result.original.request
    own = {name: phase.time for name, phase in result.original.phases.items()}
    return {
        "model": request.model,
        **setting_document(request),
        "original": _figures(result.original, own, dict.fromkeys(own, 1.0)),
        "variants": [_variant_document(each) for each in result.variants],
        "sentences": list(compression_sentences(result)),
    }


def _variant_document(variant: Variant) -> dict[str, Any]:
    change = variant.change
    return {
        "kind": change.kind,
        "name": change.name,
        "share": change.share,
        "refused": variant.refused,
        "reasons": list(variant.reasons),
        "figures": _figures(variant.prediction, variant.times, variant.speedups) if variant.prediction else None,
    }


def _figures(prediction: Prediction, times: Mapping[str, OpTime], speedups: Mapping[str, float]) -> dict[str, Any]:
    return {
        "phases": {
            name: {"seconds": time.seconds, "low": time.low, "high": time.high, "bound": time.bound,
                   "speedup": speedups[name]}
            for name, time in times.items()
        },
        "parameters": prediction.parameters,
        "memory_bytes": prediction.memory_bytes["total"],
        "weight_bytes": prediction.memory_bytes["weights"],
        "fits": prediction.fits,
        "cost_usd_per_million": cost_per_million_usd(prediction) or None,
    }  # fmt: skip
