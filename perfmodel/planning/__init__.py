"""Questions that take many predictions: which deployment to choose, how time grows with size, what compressing brings.

    capacity      `plan`: demand, candidates ─sizing (load_curve)▶ plans ─finalists (confirming)▶ best; sensitivity
    scaling       `scale`: families of models by size; overtaking: where one chip becomes the faster one
    compression   `compress`: changes, each applied alone
    tradeoff      `tradeoff`: accuracy_tables, named_models, pareto
    table_*       tables of results in files: conditions, views, pivots; read and written in pieces

May import: predict, serving, calibration and below. To add a question: a file whose function takes models and chips and
returns a frozen answer, its command in `cli`, its document and table in `report`. To add a way to compress: a
`Change` in `changes.py`. To add a limit of a plan: `demand.py`, and where `load_curve` finds what breaks it.
"""
