"""Named coefficients of the kernel-time formulas: value, spread, provenance.

A coefficient stands on a level: `prior` (what holds for any chip of its kind), later `family`, `device` and `runtime`
as measurements narrow it. Priors are declared beside the equation they belong to; this file only keeps the table and
answers "which value for this chip and runtime".

A coefficient's uncertainty is Gaussian in its logarithm: `log_sd` 0.10 means about ±10 %.

May import: errors, types. To add a coefficient: `prior(...)` next to its equation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from perfmodel.types import Hardware


@dataclass(frozen=True, slots=True)
class Coefficient:
    """One coefficient as used for a chip and a runtime.

    Args:
        value: in SI units, or a bare factor.
        log_sd: standard deviation of log(value).
        level: prior, family, device or runtime.
        provenance: the data or document the value comes from.
    """

    name: str
    value: float
    log_sd: float
    level: str
    provenance: str


@dataclass(frozen=True, slots=True)
class Prior:
    """A coefficient before any measurement: (value, log_sd) in general, and where a kind of chip or runtime differs.

    Args:
        variants: more specific (value, log_sd) by key. Keys are tried as vendor, kind.runtime, kind, runtime.
        kernel_log_sd: how far kernels of the same scope stray from each other, where that is more than usual.
    """

    name: str
    value: float
    log_sd: float
    meaning: str
    source: str
    variants: Mapping[str, tuple[float, float]]
    kernel_log_sd: float = 0.0

    def resolve(self, hardware: Hardware, runtime: str) -> Coefficient:
        """The coefficient for a chip and a runtime."""
        kind = hardware.kind
        for key in (f"{kind}.{hardware.vendor.lower()}", f"{kind}.{runtime}", kind, runtime):
            if key in self.variants:
                value, log_sd = self.variants[key]
                return Coefficient(self.name, value, log_sd, "prior", f"{self.source} ({key})")
        return Coefficient(self.name, self.value, self.log_sd, "prior", self.source)


_PRIORS: dict[str, Prior] = {}


def prior(
    name: str,
    value: float,
    log_sd: float,
    *,
    meaning: str,
    source: str,
    variants: Mapping[str, tuple[float, float]] | None = None,
    kernel_log_sd: float = 0.0,
) -> Prior:
    """Declare a coefficient with its prior.

    Raises:
        ValueError: the name is taken, or a value or spread is not positive.
    """
    if name in _PRIORS:
        raise ValueError(f"coefficient '{name}' is declared twice")
    for number, spread in ((value, log_sd), *(variants or {}).values()):
        if number <= 0 or spread < 0:
            raise ValueError(f"coefficient '{name}' needs a positive value and a spread of at least 0")
    _PRIORS[name] = declared = Prior(name, value, log_sd, meaning, source, dict(variants or {}), kernel_log_sd)
    return declared


def declared_priors() -> tuple[Prior, ...]:
    """All coefficients that the imported kernel files declare."""
    return tuple(_PRIORS[name] for name in sorted(_PRIORS))
