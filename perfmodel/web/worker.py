"""A process that answers one task after the other, as its server asks on its standard input.

It ends when its input does. A task that outlives its time is ended by the server; should the server itself be gone, by
a timer here. Memory is limited by the system where it can. May import: everything of web but the server's side.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from perfmodel.catalog import data_dirs
from perfmodel.cli.system_limits import out_of_memory
from perfmodel.errors import PerfmodelError
from perfmodel.home import home_folder
from perfmodel.web import frames
from perfmodel.web.field_words import in_fields, where_of
from perfmodel.web.limits import Limits
from perfmodel.web.refusals import (
    BODY,
    INTERNAL,
    TOO_LARGE,
    UNPROCESSABLE,
    Mistake,
    Mistakes,
    Refusal,
    refuse,
    status_of,
)
from perfmodel.web.strict_json import dump_json
from perfmodel.web.tasks import TASKS, Desk
from perfmodel.web.uploads import Uploads

_SMALL = {"model": ["llama-3.1-8b"], "hardware": ["h100-sxm"]}
# small tasks, with which all is imported, read and compiled that others of their kind need
WARMING: dict[str, dict[str, Any]] = {
    "predict": _SMALL,
    "plan": _SMALL | {"tp": [1], "rate": 1.0, "input_tokens": 100, "output_tokens": 10, "ttft": 1.0},
}
COLLECTED = (50_000, 20, 50)  # new objects, and rounds of the younger generations, between two looks for garbage
LATE_SECONDS = 5.0  # after which a task ends itself that its server did not end
_BY_NAME = ("model", "chip", "engine")  # tasks about one thing, which is there or not


def main(settings: dict[str, Any]) -> None:
    """Answer until the input ends.

    Args:
        settings: limits, the folder of uploads, nice, and the names of `WARMING` that are done before all else.
    """
    asked, told = _take_pipes()
    limits = Limits(**settings["limits"])
    _restrain(limits, settings["nice"])
    uploads = Uploads(Path(settings["uploads"]))
    folders = _folders()
    lock = threading.Lock()

    def tell(kind: bytes, payload: bytes) -> None:
        with lock:
            told.write(frames.packed(kind, payload))
            told.flush()

    desk = Desk(uploads=uploads, limits=limits, report=lambda *progress: tell(frames.PROGRESS, dump_json(progress)))
    for name in settings["warming"]:
        with suppress(Refusal):
            _answer(name, WARMING[name], replace(desk, report=lambda *_: None))
    _collect_rarely()
    tell(frames.READY, b"")
    while frame := frames.read_frame(asked):
        task = json.loads(frame[1])
        _end_after(task["seconds"] + LATE_SECONDS)
        try:
            answer = (frames.ANSWER, _answer(task["task"], task["body"], desk))
        except Refusal as refusal:
            # modules may be imported in part, and caches filled in part, where memory ran out
            kind = frames.SPENT if refusal.status == TOO_LARGE else frames.REFUSED
            answer = (kind, dump_json({"status": refusal.status, **refusal.document()}))
        _end_after(0)
        tell(*_without_folders(*answer, folders))
        if answer[0] == frames.SPENT:
            return


def _answer(name: str, body: dict[str, Any], desk: Desk) -> bytes:
    """The document of a task, as JSON.

    Raises:
        Refusal: there is none, for whatever reason.
    """
    task = TASKS[name]
    try:
        return dump_json(task.answer(task.body.model_validate(body), desk))
    except Mistakes as error:
        mistakes = [Mistake(own.where, in_fields(own.error)) for own in error.mistakes]
        raise Refusal(UNPROCESSABLE, mistakes) from None
    except PerfmodelError as error:
        status = status_of(error) if name in _BY_NAME else UNPROCESSABLE
        text = str(error)
        raise Refusal(status, [Mistake(where_of(text, task.body.model_fields), in_fields(text))]) from None
    except Exception as error:
        if not out_of_memory(error):
            import traceback

            traceback.print_exc()
            what = f"{type(error).__name__}: {error}".splitlines()[0][:300]
            told = f"{what}. This is a mistake of perfmodel, not yours: please report it, with what you asked"
            raise Refusal(INTERNAL, [Mistake(BODY, told)]) from None
    # here, the error does not hold what took the memory any more
    raise refuse(
        TOO_LARGE, f"this needs more than the {desk.limits.worker_bytes / 2**30:.3g} GiB that a worker may use"
    )


def _folders() -> list[bytes]:
    """Where the files of the catalog lie, which is nobody's business on a network, as JSON has them."""
    found = {folder.parent for folder in (*data_dirs(), home_folder("local"))}
    return [dump_json(f"{folder}{os.sep}")[1:-1] for folder in sorted(found, key=lambda folder: -len(str(folder)))]


def _without_folders(kind: bytes, text: bytes, folders: list[bytes]) -> tuple[bytes, bytes]:
    for folder in folders:
        text = text.replace(folder, b"")
    return kind, text


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Input and output for messages; whatever else is printed goes to the standard error."""
    asked, told = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return asked, told


def _restrain(limits: Limits, nice: int) -> None:
    """Less memory, no core dumps, and less of the processor for what takes long, where the system can."""
    if nice and hasattr(os, "nice"):
        os.nice(nice)
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (limits.worker_bytes, limits.worker_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _collect_rarely() -> None:
    """Looking through all objects of the modules for garbage would now and then cost more than an answer."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTED)


def _end_after(seconds: float) -> None:
    """Die by a signal after that time; never for 0."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)
