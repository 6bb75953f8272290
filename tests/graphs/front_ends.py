"""What every front-end owes: predictions that make sense; one that reads a config also clear refusals of nonsense."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from perfmodel.errors import PerfmodelError
from perfmodel.graphs import load_model
from perfmodel.graphs.checks import check_graph
from perfmodel.graphs.huggingface import load_config
from perfmodel.predict import predict
from perfmodel.types import PHASES

SPOILT = [None, -1, 0, 1, 7, 10**12, 2.5, float("nan"), float("inf"), 1e-300, True, "x", [], [3], {}, {"a": 1}]


def assert_predicted(source: str) -> None:
    """Sound graphs, known phases in their order, parameters, finite times that are not below the physical bound."""
    model = load_model(source)
    assert model.parameters > 0
    assert list(model.phases) == [name for name in PHASES if name in model.phases] != []
    for graph in model.phases.values():
        check_graph(graph)
    prediction = predict(model, "h100-sxm", batch=2)
    assert prediction.phases.keys() == model.phases.keys()
    for phase in prediction.phases.values():
        time = phase.time
        assert 0 < phase.bound_seconds <= time.low <= time.seconds <= time.high < float("inf")
    assert not prediction.unmodelled


def assert_loads_or_is_refused(
    data: st.DataObject, model_type: str, config: Mapping[str, Any], parts: Sequence[str] = (), more: Sequence[str] = ()
) -> None:
    """With any one field of the config, or of one of its parts, spoilt: a model, or one message with the source.

    Args:
        more: fields that the config leaves out.
    """
    spoilt = json.loads(json.dumps({"model_type": model_type, **config}))
    part = data.draw(st.sampled_from([*parts, ""]))
    where = spoilt[part] if part else spoilt
    where[data.draw(st.sampled_from([*sorted(where), *more]))] = data.draw(st.sampled_from(SPOILT))
    image_size = data.draw(st.sampled_from([0, 0, 56, 448, 10**9])) if parts else 0
    try:
        model = load_config(spoilt, name="test", source="test.json", image_size=image_size)
    except PerfmodelError as error:
        assert "test.json" in str(error)  # noqa: PT017
    else:
        assert model.parameters > 0
