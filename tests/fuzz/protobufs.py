"""Damage done to protobuf messages, field by field, as their descriptors allow."""

from __future__ import annotations

import random as randoms
from typing import Any

from tests.fuzz.mutations import NASTY_TEXTS

_WHOLE = (0, 1, -1, 2, 3, 7, 9, 2**31 - 1, -(2**31), 2**20, 2**40, 2**62, 2**63 - 1, -(2**63))
_REAL = (0.0, -1.0, 1e38, float("nan"), float("inf"), 0.5)


def messages_of(message: Any) -> list[Any]:
    """A message and all that lie in it."""
    found = [message]
    for own in found:
        for field, value in own.ListFields():
            if field.type == field.TYPE_MESSAGE:
                found.extend(value if _repeated(field) else [value])
    return found


def _repeated(field: Any) -> bool:
    return bool(field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED)


def damage_message(random: randoms.Random, message: Any) -> None:
    """One to five changes of fields, anywhere in a message."""
    for _ in range(random.choice((1, 1, 2, 3, 5))):
        own = random.choice(messages_of(message))
        fields = own.ListFields()
        if not fields:
            continue
        field, value = random.choice(fields)
        how = random.randrange(8)
        if how == 0:
            own.ClearField(field.name)
        elif _repeated(field):
            _damage_repeated(random, field, value, how)
        elif field.type == field.TYPE_MESSAGE:
            other = random.choice([each for each in messages_of(message) if each.DESCRIPTOR is value.DESCRIPTOR])
            value.CopyFrom(type(other).FromString(other.SerializeToString()))
        else:
            _set(own, field, _scalar(random, field, value))


def _damage_repeated(random: randoms.Random, field: Any, values: Any, how: int) -> None:
    place = random.randrange(len(values))
    if field.type == field.TYPE_MESSAGE:
        if how == 1:
            del values[place]
        elif how == 2:
            values.add().CopyFrom(type(values[place]).FromString(values[place].SerializeToString()))
        elif how == 3:
            other = random.randrange(len(values))
            copy = type(values[place]).FromString(values[place].SerializeToString())
            values[place].CopyFrom(values[other])
            values[other].CopyFrom(copy)
        elif how == 4:
            values.add()
        return
    if how == 1:
        del values[place]
    elif how == 2:
        values.extend([values[place]] * random.choice((1, 3, 70)))
    elif how == 3:
        other = random.randrange(len(values))
        values[place], values[other] = values[other], values[place]
    else:
        new = _scalar(random, field, values[place])
        try:
            values[place] = new
        except (ValueError, TypeError):
            del values[place]


def _set(message: Any, field: Any, value: Any) -> None:
    try:
        setattr(message, field.name, value)
    except (ValueError, TypeError):  # out of the field's range
        message.ClearField(field.name)


def _scalar(random: randoms.Random, field: Any, old: Any) -> Any:
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return random.choice(_REAL)
    if field.type == field.TYPE_BYTES:
        return random.choice((b"", old[:-1], old * 2, b"\xff" * 9, bytes(64)))
    if field.type == field.TYPE_STRING:
        words = ("Reshape", "Loop", "If", "Scan", "Range", "Expand", "Tile", "ConstantOfShape", "Resize", "LSTM", "x",
                 "y",
                 "w", "t", "../../../../etc/passwd", "com.microsoft")  # fmt: skip
        return random.choice((*words, old + "x", *(text.replace("\ud800", "") for text in NASTY_TEXTS)))
    if field.cpp_type == field.CPPTYPE_BOOL:
        return not old
    return random.choice((*_WHOLE, old + 1, old - 1, old * 2, old * 1000))
