"""What --help ends with, and what wrong use of a command is told."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.cli import COMMANDS, main
from perfmodel.cli.usage import refuse_repeated_lists, shown_examples
from perfmodel.errors import InputError
from tests.cli.running import refuse, succeed


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """All commands that do something, with the words that lead to them."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


LEAVES = dict(leaves(main))
EXAMPLES = [text for command in (main, *LEAVES.values()) for text in shown_examples(command)]


def named(path: tuple[str, ...]) -> str:
    return " ".join(path)


@pytest.mark.parametrize("path", LEAVES, ids=named)
def test_help_ends_with_examples_of_the_command(path: tuple[str, ...]) -> None:
    shown = shown_examples(LEAVES[path])
    assert shown
    assert shown[0].startswith(f"perfmodel {named(path)}")
    told = succeed(*path, "--help")
    assert told.index("\n  Examples:\n") > told.index("--help ")


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_have_commands_and_options_that_exist(
    example: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = shlex.split(example)[1:]
    command, context = main, click.Context(main, info_name="perfmodel")
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None, example
        command = found
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):
            monkeypatch.setattr(parameter.type, "exists", False)
    refuse_repeated_lists(command, words)
    command.make_context(command.name, words, parent=context)


@pytest.mark.parametrize("path", LEAVES, ids=named)
def test_options_tell_what_they_are_and_their_default(path: tuple[str, ...]) -> None:
    command = LEAVES[path]
    for option in command.params:
        if not isinstance(option, click.Option) or option.is_flag or option.multiple:
            continue
        record = option.get_help_record(click.Context(command))
        assert record is not None
        assert option.help, option.name
        if isinstance(option.default, str | int | float) and option.default is not False:
            assert "default" in record[1] or option.default == 0, f"{path} {option.name}: {record[1]}"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("plan llama-3.1-8b --users 500 --ttft 2", "Here it is --concurrency."),
        ("predict llama-3.1-8b --gpu h100-sxm", "Here it is --hardware."),
        ("predict llama-3.1-8b --batch-size 4", "Here it is --batch."),
        ("predict llama-3.1-8b --ttft 2s", "Here it is --slo-ttft."),
        ("plan llama-3.1-8b --slo-ttft 2s", "Here it is --ttft."),
        ("plan llama-3.1-8b --qps 2", "Here it is --rate."),
        ("simulate llama-3.1-8b --dtype fp8", "Here it is --precision."),
        ("compress llama-3.1-8b --quantization fp8", "Here it is --precision or --to."),
    ],
)
def test_other_names_of_options_lead_to_ours(words: str, told: str) -> None:
    assert told in refuse(*words.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_synonyms_never_hide_an_option_that_exists(name: str) -> None:
    context = click.Context(main)
    command = main.get_command(context, name)
    assert command is not None
    for own in (option for option in command.params if isinstance(option, click.Option)):
        with pytest.raises(click.UsageError) as wrong:
            command.make_context(name, [f"{own.opts[0]}x=1"], parent=context)
        assert "Here it is" not in wrong.value.format_message()


def test_wrong_use_shows_an_example_of_that_command() -> None:
    for words in ("predict", "predict llama-3.1-8b", "plan llama-3.1-8b --foo 1", "validate", "sweep s.yaml"):
        assert f"\nFor example: perfmodel {words.split()[0]} " in refuse(*words.split())


def test_a_list_with_a_blank_is_told() -> None:
    told = refuse("predict", "llama-3.1-8b", "--hardware", "h100-sxm,", "l4")
    assert "Got unexpected extra argument (l4)" in told
    assert "commas and no blanks" in told


def test_a_list_that_is_given_twice_is_no_silent_loss() -> None:
    told = refuse("predict", "llama-3.1-8b", "--hardware", "h100-sxm", "--hardware=l4", "--batch", "1", "--batch", "2")
    assert "--hardware is given 2 times; a list is written --hardware h100-sxm,l4" in told
    assert "--batch is given 2 times; a list is written --batch 1,2" in told


def test_an_option_that_takes_one_value_may_be_replaced() -> None:
    assert "95 % interval" in succeed("predict", "gpt2-small", "--hardware", "l4", "--level", "0.8", "--level", "0.95")


@given(values=st.lists(st.text(alphabet="abc123-.", min_size=1).filter(lambda text: text[0] != "-"), max_size=4))
def test_lists_are_refused_exactly_where_they_are_repeated(values: list[str]) -> None:
    predict = LEAVES["predict",]
    words = [word for value in values for word in ("--hardware", value)]
    if len(values) < 2:
        refuse_repeated_lists(predict, words)
        return
    with pytest.raises(InputError, match=re.escape(",".join(values))):
        refuse_repeated_lists(predict, words)


def test_exit_codes_are_told() -> None:
    told = succeed("--help")
    assert "Exit codes: 0 fine; 1 a check failed; 2 wrong usage" in told
    assert "130 interrupted; 141" in told
