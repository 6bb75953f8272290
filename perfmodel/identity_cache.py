"""A bounded cache keyed by the identity of its arguments, for frozen values that are too large to hash.

May import: nothing of perfmodel.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

Result = TypeVar("Result")
_BY_VALUE = (str, int, float, bool)


def identity_cache(maxsize: int) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Like functools.lru_cache, but strings and numbers are compared by value and everything else by identity.

    The arguments are kept alive with their result, so that an identity cannot be reused while it is in the cache.
    """

    def decorate(function: Callable[..., Result]) -> Callable[..., Result]:
        entries: OrderedDict[tuple[Any, ...], tuple[Any, Result]] = OrderedDict()

        @wraps(function)
        def cached(*arguments: Any) -> Result:
            key = tuple([
                argument if argument is None or isinstance(argument, _BY_VALUE) else id(argument)
                for argument in arguments
            ])  # fmt: skip
            found = entries.get(key)
            if found is not None:
                entries.move_to_end(key)
                return found[1]
            result = function(*arguments)
            entries[key] = (arguments, result)
            if len(entries) > maxsize:
                entries.popitem(last=False)
            return result

        return cached

    return decorate
