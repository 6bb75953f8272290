"""Kernels that stray far: a coefficient may say so, and a device left out is then predicted by its kernel."""

from dataclasses import replace

import numpy as np
from builders import gpu

from perfmodel.calibration.fit import Observed, Parameter, fit
from perfmodel.coefficients import Coefficient, Prior
from perfmodel.fitted_scopes import FittedScope
from perfmodel.kernels import Device

SECONDS = {"quick": 2e-6, "slow": 16e-6}


def prior_of(kernel_log_sd: float) -> Prior:
    return Prior("launch", 6e-6, 0.3, "", "", {}, kernel_log_sd)


def fitted(kernel_log_sd: float) -> FittedScope:
    chips = {name: replace(gpu(), id=name, family=name) for name in ("a", "b")}

    def predict(device: Device) -> np.ndarray:
        own: Coefficient = device.overrides["s:launch"]
        return np.full(20, own.value)

    rows = [
        Observed(
            hardware=chip, runtime="graphs", engine="test", kernel=kernel, seconds=np.full(20, value), predict=predict
        )
        for chip in chips
        for kernel, value in SECONDS.items()
    ]
    return fit(rows, chips, [Parameter(prior=prior_of(kernel_log_sd), scope="s")])["s"]


def test_a_kernel_that_may_stray_is_predicted_better_on_a_device_left_out() -> None:
    unseen = replace(gpu(), id="c", family="c")

    def error(kernel_log_sd: float) -> float:
        own = fitted(kernel_log_sd)
        priors = {"launch": prior_of(kernel_log_sd)}
        found = [own.coefficients(unseen, "graphs", priors, "test", kernel) for kernel in SECONDS]
        values = [coefficients["s:launch"].value for coefficients in found]
        return float(np.abs(np.log(np.array(values) / list(SECONDS.values()))).max())

    assert error(1.5) < 0.5 * error(0.0)
    assert error(1.5) < 0.1


def test_a_narrow_allowance_changes_nothing() -> None:
    np.testing.assert_allclose(fitted(0.0).pooled, fitted(0.1).pooled)
