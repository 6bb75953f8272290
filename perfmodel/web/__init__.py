"""`perfmodel serve`: a REST API and the page that stands on it.

    socket ─▶ protection ─▶ routes ──body──▶ response cache, else a worker process ─▶ tasks ─▶ predict, plan, simulate

The process that listens computes nothing: it checks requests and hands them to workers, processes that can be killed.
So a request costs at most its time budget, nothing blocks the others, and what was uploaded is read only where little
can be harmed. Documents are those of `--json`.

Rooms here, from the ground up: limits, refusals, strict_json, frames, field_words; bodies; reading, costs, uploads,
tasks, worker (the child's side); response_cache, workers, jobs (the parent's side); protection, routes, app; command.

May import: cli and everything below. To add a question: its body in `bodies.py`, its answer in a file like `plans.py`,
a line in `tasks.py`, a route in `answer_routes.py`, and its schema in `openapi.py`.
"""
