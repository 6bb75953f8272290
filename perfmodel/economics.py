"""What a load costs in money and energy: from watts, a price per device and hour, and a site.

    mean chip watts   = u·P + (1 − u)·idle          u: utilisation, the share of hours that serve this load
    watts at the wall = (mean chip watts + host share·TDP) · PUE
    USD/h             = price of the devices; of owned ones also watts at the wall · USD/kWh
    per token         = each of these over the tokens of a mean second, u·tokens/s

May import: power, types.
"""

from __future__ import annotations

from dataclasses import dataclass

from perfmodel.errors import InputError
from perfmodel.power import Power, idle_watts
from perfmodel.types import Hardware, Prediction

PUE = 1.3  # between large clouds (1.1 to 1.2) and the usual colocation (1.4 to 1.6), as Uptime Institute's surveys say
ELECTRICITY_USD_PER_KWH = 0.10  # an order of magnitude for industry in the US; from 0.06 to 0.25 elsewhere
HOST_SHARE = 0.3  # of the devices' TDP: CPUs, memory, fans, network. A DGX H100 may draw 10.2 kW with 5.6 kW of GPUs


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where the devices stand, and how busy they are; none of this can be predicted.

    Args:
        electricity_usd_per_kwh: at the meter. pue: power of the site over that of its servers.
        utilisation: share of the hours that they serve the load; in the others they idle, and are paid for.
        host_share: what the rest of the server draws, over the TDP of its devices, busy or not.

    Raises:
        InputError: all values that cannot be, at once.
    """

    electricity_usd_per_kwh: float = ELECTRICITY_USD_PER_KWH
    pue: float = PUE
    utilisation: float = 1.0
    host_share: float = HOST_SHARE

    def __post_init__(self) -> None:
        rules = {
            "electricity_usd_per_kwh": (0 <= self.electricity_usd_per_kwh <= 10, "between 0 and 10 USD/kWh, like 0.12"),
            "pue": (1 <= self.pue <= 5, "at least 1 and at most 5, like 1.3"),
            "utilisation": (0 < self.utilisation <= 1, "above 0 and at most 1, like 0.6"),
            "host_share": (0 <= self.host_share <= 10, "between 0 and 10, like 0.3"),
        }
        wrong = [
            f"{name} must be {rule}, not {getattr(self, name):g}" for name, (fine, rule) in rules.items() if not fine
        ]
        if wrong:
            raise InputError("; ".join(wrong))


USUAL_SITE = Site()


@dataclass(frozen=True, slots=True, kw_only=True)
class Economics:
    """Money and energy of a load; None where the price, the power or the rate is unknown, never 0 in its place.

    Args:
        watts, low_watts, high_watts: of all chips, on the mean over all hours. wall_watts: with host and PUE.
        joules_per_request, joules_per_output_token: of the chips, prompts included. tokens_per_joule: output tokens.
        usd_per_hour: of all devices. usd_per_million_output_tokens: prompts included; usd_per_million_tokens: over
            prompt and output tokens alike. electricity_usd_per_hour: at the wall, whoever pays it.
        level: what the watts stand on.
    """

    site: Site
    watts: float | None = None
    low_watts: float | None = None
    high_watts: float | None = None
    wall_watts: float | None = None
    joules_per_request: float | None = None
    joules_per_output_token: float | None = None
    wall_joules_per_output_token: float | None = None
    tokens_per_joule: float | None = None
    usd_per_hour: float | None = None
    usd_per_million_requests: float | None = None
    usd_per_million_output_tokens: float | None = None
    usd_per_million_tokens: float | None = None
    electricity_usd_per_hour: float | None = None
    level: str = ""


def economics(
    hardware: Hardware,
    devices: float,
    power: Power | None,
    *,
    requests_per_second: float,
    input_tokens: float = 0,
    output_tokens: float = 0,
    site: Site = USUAL_SITE,
) -> Economics:
    """Money and energy of a load on some devices of one kind.

    Args:
        power: mean of all devices while they serve the load; None where the TDP is unknown.
        requests_per_second: that they answer, each of so many input and output tokens on the mean.

    >>> from perfmodel.catalog import load_hardware
    >>> from perfmodel.power import power_of
    >>> two = power_of(load_hardware("h100-sxm"), 300.0) * 2
    >>> found = economics(load_hardware("h100-sxm"), 2, two, requests_per_second=5, output_tokens=200)
    >>> round(found.watts), round(found.joules_per_output_token, 3), found.usd_per_million_output_tokens is None
    (1040, 1.04, False)
    """
    tdp, idle = hardware.power_watts * devices, idle_watts(hardware) * devices
    share = site.utilisation

    def mean(watts: float) -> float:
        return share * watts + (1 - share) * idle

    watts = mean(power.watts) if power else None
    wall = (watts + site.host_share * tdp) * site.pue if watts is not None else None
    electricity = wall / 1000 * site.electricity_usd_per_kwh if wall is not None else None
    hourly = _usd_per_hour(hardware, devices, electricity)
    requests = share * requests_per_second
    made, seen = requests * output_tokens, requests * (input_tokens + output_tokens)
    return Economics(
        site=site,
        watts=watts,
        low_watts=mean(power.low) if power else None,
        high_watts=mean(power.high) if power else None,
        wall_watts=wall,
        joules_per_request=_over(watts, requests),
        joules_per_output_token=_over(watts, made),
        wall_joules_per_output_token=_over(wall, made),
        tokens_per_joule=_over(made, watts or 0.0),
        usd_per_hour=hourly,
        usd_per_million_requests=_over(hourly, requests * 3600e-6),
        usd_per_million_output_tokens=_over(hourly, made * 3600e-6),
        usd_per_million_tokens=_over(hourly, seen * 3600e-6),
        electricity_usd_per_hour=electricity,
        level=power.level if power else "",
    )


def prediction_economics(prediction: Prediction, hardware: Hardware, site: Site = USUAL_SITE) -> Economics:
    """Money and energy of a static batch that is run again and again.

    Args:
        prediction: of all devices of its layout. hardware: the chip that it was predicted for, which has the price.
        site: where the devices stand, and how busy they are.
    """
    request = prediction.request
    rate = next((prediction.throughput[name] for name in ("requests", "images", "samples")
                 if name in prediction.throughput), request.batch / prediction.seconds)  # fmt: skip
    per_second = rate / request.batch  # batches
    power = None
    if prediction.energy_joules:
        energies = (prediction.energy_joules, prediction.energy_low_joules, prediction.energy_high_joules)
        watts, low, high = (joules * per_second for joules in energies)
        most = hardware.power_watts * request.layout.devices
        power = Power(watts=watts, low=low, high=min(high, most), level=prediction.power_level)
    return economics(
        hardware, request.layout.devices, power, requests_per_second=rate, input_tokens=request.input_tokens,
        output_tokens=request.output_tokens, site=site,
    )  # fmt: skip


def _usd_per_hour(hardware: Hardware, devices: float, electricity: float | None) -> float | None:
    """Of rented devices, electricity is the lessor's; owned ones without known power have no known cost."""
    if not hardware.price_usd_per_hour:
        return None
    rent = devices * hardware.price_usd_per_hour
    if not hardware.owned:
        return rent
    return None if electricity is None else rent + electricity


def _over(amount: float | None, count: float) -> float | None:
    """What falls to each; None where nobody can say: also of so few that it is beyond all numbers."""
    if amount is None or not 0 < count < float("inf"):
        return None
    share = amount / count
    return share if share < float("inf") else None
