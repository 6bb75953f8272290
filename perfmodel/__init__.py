"""perfmodel: how fast a neural network will run on hardware you do not have, how sure, and why.

    import perfmodel

    prediction = perfmodel.predict("llama-3.1-8b", "h100-sxm", precision="fp8", batch=8, input_tokens=2048)
    prediction.phases["decode"].time.seconds

The public names are imported when they are first used, so that `import perfmodel` costs nothing. To add one: a line in
`_PUBLIC` and one below TYPE_CHECKING.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perfmodel.calibration.fitting import fit_files
    from perfmodel.calibration.validation import validate
    from perfmodel.catalog import list_hardware, load_hardware
    from perfmodel.comparison import compare
    from perfmodel.economics import Site, prediction_economics
    from perfmodel.errors import PerfmodelError
    from perfmodel.graphs import list_models, load_model
    from perfmodel.layouts import Layout
    from perfmodel.planning.capacity import plan
    from perfmodel.planning.compression import compress
    from perfmodel.planning.scaling import scale
    from perfmodel.planning.tradeoff import Budget, tradeoff
    from perfmodel.predict import explain, max_batch, max_context, predict, predict_arrays
    from perfmodel.preparing import prepare
    from perfmodel.prices import read_prices, with_price
    from perfmodel.serving.deployments import deploy
    from perfmodel.serving.prediction import predict_serving, serving_economics
    from perfmodel.serving.simulator import simulate
    from perfmodel.sweeping.running import sweep

_PUBLIC = {
    "Budget": "perfmodel.planning.tradeoff",
    "Layout": "perfmodel.layouts",
    "PerfmodelError": "perfmodel.errors",
    "Site": "perfmodel.economics",
    "compare": "perfmodel.comparison",
    "compress": "perfmodel.planning.compression",
    "deploy": "perfmodel.serving.deployments",
    "explain": "perfmodel.predict",
    "fit_files": "perfmodel.calibration.fitting",
    "list_hardware": "perfmodel.catalog",
    "list_models": "perfmodel.graphs",
    "load_hardware": "perfmodel.catalog",
    "load_model": "perfmodel.graphs",
    "max_batch": "perfmodel.predict",
    "max_context": "perfmodel.predict",
    "plan": "perfmodel.planning.capacity",
    "predict": "perfmodel.predict",
    "predict_arrays": "perfmodel.predict",
    "predict_serving": "perfmodel.serving.prediction",
    "prediction_economics": "perfmodel.economics",
    "prepare": "perfmodel.preparing",
    "read_prices": "perfmodel.prices",
    "scale": "perfmodel.planning.scaling",
    "serving_economics": "perfmodel.serving.prediction",
    "simulate": "perfmodel.serving.simulator",
    "sweep": "perfmodel.sweeping.running",
    "tradeoff": "perfmodel.planning.tradeoff",
    "validate": "perfmodel.calibration.validation",
    "with_price": "perfmodel.prices",
}

__all__ = [
    "Budget",
    "Layout",
    "PerfmodelError",
    "Site",
    "__version__",
    "compare",
    "compress",
    "deploy",
    "explain",
    "fit_files",
    "list_hardware",
    "list_models",
    "load_hardware",
    "load_model",
    "max_batch",
    "max_context",
    "plan",
    "predict",
    "predict_arrays",
    "predict_serving",
    "prediction_economics",
    "prepare",
    "read_prices",
    "scale",
    "serving_economics",
    "simulate",
    "sweep",
    "tradeoff",
    "validate",
    "with_price",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("perfmodel")
        except PackageNotFoundError:  # run from a checkout that is not installed
            return "0+checkout"
    if name not in _PUBLIC:
        raise AttributeError(f"module 'perfmodel' has no attribute '{name}'")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """`perfmodel.predict` is the function although a module of that name lies beside it: importing that module, which
    sets the package's attribute, may not hide the function."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _PUBLIC and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
