from __future__ import annotations

import math
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfmodel
from perfmodel.catalog import load_hardware
from perfmodel.economics import USUAL_SITE, Site, economics, prediction_economics
from perfmodel.errors import InputError
from perfmodel.power import power_of

H100 = load_hardware("h100-sxm")
LOAD = {"requests_per_second": 5.0, "input_tokens": 1000, "output_tokens": 200}
prices = st.floats(0.01, 100)
sites = st.builds(
    Site,
    electricity_usd_per_kwh=st.floats(0, 1),
    pue=st.floats(1, 3),
    utilisation=st.floats(0.01, 1),
    host_share=st.floats(0, 1),
)


def cost(price=2.0, *, owned=False, site=USUAL_SITE, chip=H100, devices=4, dynamic=250.0, **load):
    chip = replace(chip, price_usd_per_hour=price, owned=owned)
    power = power_of(chip, dynamic) * devices if chip.power_watts else None
    return economics(chip, devices, power, site=site, **(LOAD | load))


@given(prices, st.floats(0.1, 10), sites)
def test_cost_is_linear_in_the_price(price, factor, site):
    one, other = cost(price, site=site), cost(factor * price, site=site)
    for name in ("usd_per_hour", "usd_per_million_output_tokens", "usd_per_million_tokens", "usd_per_million_requests"):
        assert getattr(other, name) == pytest.approx(factor * getattr(one, name))
    assert other.joules_per_output_token == one.joules_per_output_token


@given(prices, sites)
def test_owned_devices_cost_their_electricity_on_top(price, site):
    rented, owned = cost(price, site=site), cost(price, site=site, owned=True)
    assert owned.usd_per_hour - rented.usd_per_hour == pytest.approx(owned.electricity_usd_per_hour, abs=1e-9)
    kilowatts = owned.wall_watts / 1000
    assert owned.electricity_usd_per_hour == pytest.approx(kilowatts * site.electricity_usd_per_kwh)


@given(sites)
def test_figures_agree_with_each_other(site):
    found = cost(site=site)
    assert found.joules_per_output_token * found.tokens_per_joule == pytest.approx(1)
    assert found.joules_per_request == pytest.approx(200 * found.joules_per_output_token)
    assert found.usd_per_million_output_tokens == pytest.approx(6 * found.usd_per_million_tokens)
    assert found.low_watts <= found.watts <= found.high_watts <= 4 * H100.power_watts
    assert found.wall_watts >= found.watts


@given(st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_busier_fleet_draws_more_and_costs_less_for_a_token(first, second):
    low, high = (cost(site=Site(utilisation=share)) for share in sorted((first, second)))
    assert high.watts >= low.watts * (1 - 1e-12)
    assert high.usd_per_million_tokens <= low.usd_per_million_tokens * (1 + 1e-12)
    assert high.joules_per_output_token <= low.joules_per_output_token * (1 + 1e-12)


def test_unknown_stays_unknown():
    unpriced, unpowered = cost(price=0.0), cost(chip=replace(H100, power_watts=0.0))
    assert unpriced.usd_per_hour is None
    assert unpriced.usd_per_million_tokens is None
    assert unpriced.joules_per_output_token is not None
    assert unpowered.watts is None
    assert unpowered.tokens_per_joule is None
    assert unpowered.wall_watts is None
    assert unpowered.usd_per_hour == 8.0
    assert cost(chip=replace(H100, power_watts=0.0), owned=True).usd_per_hour is None
    assert cost(requests_per_second=0.0).usd_per_million_requests is None


@given(requests=st.floats(5e-324, 1e-290))
def test_what_falls_to_so_few_that_it_is_beyond_all_numbers_is_not_known(requests):
    found = cost(requests_per_second=requests)
    figures = [getattr(found, own.name) for own in fields(found) if own.name not in ("site", "level")]
    assert all(own is None or math.isfinite(own) for own in figures)
    assert found.usd_per_hour == 8.0


def test_site_refuses_all_mistakes_at_once():
    with pytest.raises(InputError, match=r"pue must be .*; utilisation must be"):
        Site(pue=0.9, utilisation=0.0)
    with pytest.raises(InputError, match="utilisation"):
        Site(utilisation=float("nan"))


@pytest.mark.parametrize(("model", "sizes"), [("llama-3.1-8b", {"batch": 8}), ("resnet50", {"batch": 32})])
@pytest.mark.parametrize("chip", ["h100-sxm", "rtx-4090", "epyc-9654"])
def test_energy_of_a_prediction_lies_between_idle_and_tdp(model, sizes, chip):
    if model == "resnet50":
        pytest.importorskip("timm")
        model = "timm:resnet50"
    hardware = load_hardware(chip)
    found = perfmodel.predict(model, hardware, **sizes)
    most = hardware.power_watts * found.seconds
    assert 0.11 * most <= found.energy_joules <= most
    assert found.energy_low_joules < found.energy_joules < found.energy_high_joules
    own = prediction_economics(found, hardware)
    assert own.watts == pytest.approx(found.energy_joules / found.seconds, rel=0.05)
    assert own.high_watts <= hardware.power_watts * (1 + 1e-9)


def test_split_over_devices_energy_stays_near_that_of_one():
    one = perfmodel.predict("llama-3.1-8b", "h100-sxm", batch=8)
    two = perfmodel.predict("llama-3.1-8b", "h100-sxm", batch=8, layout=perfmodel.Layout(pipeline=2))
    four = perfmodel.predict("llama-3.1-8b", "h100-sxm", batch=8, layout=perfmodel.Layout(tensor=4))
    assert two.energy_joules == pytest.approx(one.energy_joules, rel=0.5)
    assert one.energy_joules < four.energy_joules < 4 * one.energy_joules


def test_every_figure_is_described_and_none_is_zero_by_default():
    found = economics(H100, 1, None, requests_per_second=1.0)
    empty = {field.name for field in fields(found) if getattr(found, field.name) == 0}
    assert empty == set()
