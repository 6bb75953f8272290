"""A chip together with the runtime and the coefficients it is asked with: what every kernel-time formula reads.

May import: errors, types, coefficients, fitted_scopes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from perfmodel.coefficients import Coefficient, Prior, declared_priors
from perfmodel.errors import UnknownNameError, UnsupportedError
from perfmodel.fitted_scopes import FittedScope, Widths
from perfmodel.types import Hardware, Unit

RUNTIMES = ("eager", "compiled", "graphs")
ASKED_RUNTIMES = (*RUNTIMES, "onnxruntime")  # what resolves to one of them
# whose kernels a framework's scopes speak of, and the layouts of images, the usual one first
FRAMEWORK_PREFIX, FRAMEWORK, LAYOUT, CHANNELS_LAST = "framework.", "torch", "nchw", "nhwc"
MAX_FALLBACKS = 4
REFERENCE_HERTZ = 1.8e9


@dataclass(frozen=True)
class Device:
    """A chip, the runtime on it, and resolved coefficients. Not hashable by value: compare by identity.

    Args:
        overrides: fitted coefficients by name, or by "scope:name" where they hold for some kernels only.
        widths: half-widths of intervals by scope, where measurements calibrated some.
        scope: the kernels that are being timed ("gemm.fp8", "attention.decode"); "" for all.
    """

    hardware: Hardware
    runtime: str
    overrides: Mapping[str, Coefficient]
    widths: Mapping[str, Widths] = field(default_factory=dict)
    scope: str = ""

    def __getitem__(self, prior: Prior) -> Coefficient:
        found = self._resolved.get(prior.name)
        if found is None:
            own, shared = self.overrides.get(f"{self.scope}:{prior.name}"), self.overrides.get(prior.name)
            found = self._resolved[prior.name] = own or shared or prior.resolve(self.hardware, self.runtime)
        return found

    def in_scope(self, scope: str) -> Device:
        """The same device with the coefficients of some kernels."""
        found = self._scopes.get(scope)
        if found is None:
            found = self._scopes[scope] = replace(self, scope=scope)
        return found

    @cached_property
    def fitted_scopes(self) -> frozenset[str]:
        """The scopes of which there are coefficients of their own."""
        return frozenset(name.partition(":")[0] for name in self.overrides if ":" in name)

    @cached_property
    def _scopes(self) -> dict[str, Device]:
        return {}

    @cached_property
    def _resolved(self) -> dict[str, Coefficient]:
        return {}

    @cached_property
    def launch_scale(self) -> float:
        """Launch and drain of a kernel take cycles, not seconds: their priors hold at 1.8 GHz and scale with the clock.

        Found on the GEMM and attention tables of A100 (1.41 GHz) to L40S (2.52 GHz): with it, the error on a GPU left
        out falls from 11.4 to 10.1 % (GEMM, median) and from 34 to 27 % (decode attention).
        """
        known = self.hardware.kind == "gpu" and self.hardware.clock_hertz
        return REFERENCE_HERTZ / self.hardware.clock_hertz if known else 1.0

    @property
    def coefficients_used(self) -> int:
        """How many `used_coefficients` there are, by which one may see that others were read."""
        return len(self._resolved) + sum([len(device._resolved) for device in self._scopes.values()])

    @property
    def used_coefficients(self) -> tuple[Coefficient, ...]:
        """The coefficients read so far, for provenance."""
        found = {coefficient.name: coefficient for coefficient in self._resolved.values()}
        for device in self._scopes.values():
            found |= {coefficient.name: coefficient for coefficient in device.used_coefficients}
        return tuple(found[name] for name in sorted(found))

    @cached_property
    def vector_flops_per_second(self) -> float:
        """Peak of the vector unit: fp32, else the best vector rate, else a fiftieth of the matrix peak."""
        peaks = self.hardware.peaks
        vector = [rate for (unit, _), rate in peaks.items() if unit == "vector"]
        return peaks.get(("vector", "fp32")) or (max(vector) if vector else max(peaks.values()) / 50)


def fitted_device(
    hardware: Hardware,
    runtime: str,
    scopes: Mapping[str, FittedScope],
    engine: str = "",
    kernel: str = "",
    *,
    layout: str = LAYOUT,
) -> Device:
    """A chip with what was fitted for it.

    Args:
        scopes: as `fitted_scopes.choose_scopes` gives them.
        engine, kernel: the software whose kernels run; "" for a mean over those that were measured.
        layout: of images in a framework, nchw or nhwc, unless `kernel` tells it.
    """
    priors = {prior.name: prior for prior in declared_priors()}
    overrides: dict[str, Coefficient] = {}
    widths: dict[str, Widths] = {}
    for name, scope in scopes.items():
        software = (engine or FRAMEWORK, kernel or layout) if name.startswith(FRAMEWORK_PREFIX) else (engine, kernel)
        overrides |= scope.coefficients(hardware, runtime, priors, *software)
        if own := scope.widths_for(hardware, *software):
            widths[name] = own
    return Device(hardware, runtime, overrides, widths)


@dataclass(frozen=True, slots=True)
class Rate:
    """The peak at which a chip runs contractions of a dtype.

    Args:
        dtype: the dtype really used. emulated: it is not the one asked for.
    """

    flops_per_second: float
    unit: Unit
    dtype: str
    emulated: bool


def contraction_rate(hardware: Hardware, dtype: str) -> Rate:
    """Peak for contractions in a dtype: of the matrix unit, else of the vector unit; a dtype that is not native runs in
    its declared fallback, whatever slow path the datasheet lists for it (fp16 on a P4 has 1/64 of the fp32 rate).

    Raises:
        UnsupportedError: the chip has no rate for the dtype and declares no fallback.
    """
    asked = dtype
    units: tuple[Unit, ...] = ("matrix", "vector")
    for _ in range(MAX_FALLBACKS):
        native = dtype in hardware.native or not hardware.native
        for unit in units if native else ():
            rate = hardware.peaks.get((unit, dtype))
            if rate:
                return Rate(rate, unit, dtype, dtype != asked)
        if dtype not in hardware.fallbacks:
            break
        dtype = hardware.fallbacks[dtype]
    rates = sorted({name for unit, name in hardware.peaks})
    raise UnsupportedError(
        f"{hardware.id} cannot compute in {asked}: its profile gives no rate and no fallback for it. "
        f"It has {', '.join(rates)}."
    )


def resolve_runtime(hardware: Hardware, runtime: str) -> tuple[str, str]:
    """The runtime that a chip really has for the one asked for, and a note when it differs.

    Raises:
        UnknownNameError: no runtime of that name.
    """
    if runtime not in ASKED_RUNTIMES:
        raise UnknownNameError("runtime", runtime, ASKED_RUNTIMES, f"Known: {', '.join(ASKED_RUNTIMES)}")
    if runtime == "onnxruntime":
        return (
            "compiled",
            "onnxruntime is timed as compiled code, which it resembles: no run of it was measured",
        )
    if hardware.kind == "tpu" and runtime == "eager":
        return "compiled", "a TPU runs XLA programs: `compiled` is assumed for `eager`"
    if hardware.kind == "cpu" and runtime == "graphs":
        return "compiled", "a CPU has no graph replay: `compiled` is assumed for `graphs`"
    return runtime, ""
