"""Own prices and the site of a body, read as the command line reads a price file and its options.

May import: reading, bodies; prices, economics, cli.cost_options.
"""

from __future__ import annotations

from perfmodel.cli.cost_options import Costs, site_of
from perfmodel.prices import read_price_table
from perfmodel.web.bodies import CostFields
from perfmodel.web.reading import Reader
from perfmodel.web.refusals import Mistake
from perfmodel.yaml_strict import Document


def read_costs(body: CostFields, reader: Reader) -> Costs:
    """What a body says of prices and its site; the usual where it says nothing.

    Args:
        reader: to which mistakes are added, each with its field: `prices.h100-sxm.years`.
    """
    document = Document(path="prices")
    table = {name: price.model_dump(exclude_none=True) for name, price in (body.prices or {}).items()}
    prices = read_price_table(document, table, {})
    reader.mistakes += [Mistake(problem.key, problem.message) for problem in document.problems]
    return Costs(site=site_of(body.model_dump()), prices=prices)
