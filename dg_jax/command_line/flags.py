"""Reads flags into a configuration: a run's, or that of an experiment, which has a run's flags and more."""

import contextlib
import dataclasses
import io
import itertools
from collections.abc import Iterator, Sequence
from typing import Literal

import tyro

from dg_jax import config, errors
from dg_jax.reading import names


@dataclasses.dataclass(frozen=True)
class _Base:
    """The flags on which the defaults of the others depend."""

    dataset: str = config.Data.dataset
    preset: Literal["dataset", "paper", "released"] = "dataset"
    model: str = ""
    weights: str = ""


def parse(kind: type[config.Config], arguments: Sequence[str], prog: str) -> config.Config:
    """Reads flags; their defaults are those of the dataset's preset.

    Args:
        kind: :class:`dg_jax.config.RunConfig` or another dataclass derived from :class:`dg_jax.config.Parts`,
            whose fields have defaults.
        arguments: the flags.
        prog: what the help calls the program.

    Raises:
        UserError: a flag or its value is wrong.
        SystemExit: ``--help`` was asked for and has been shown.
    """
    base, _ = cli(_Base, arguments, add_help=False, return_unknown_args=True)
    from_scratch = base.weights.casefold() == "none"
    defaults = config.defaults(base.dataset, base.preset, base.model, from_scratch=from_scratch)
    values = {}
    for field in dataclasses.fields(kind):
        if hasattr(defaults, field.name):
            usual = getattr(defaults, field.name)
            # An experiment may have its own class for a part.
            kind_of_part = config.part_of(field)
            values[field.name] = kind_of_part(**vars(usual)) if kind_of_part else usual
    parsed: config.Config = cli(kind, arguments, prog=prog, default=kind(**values))
    return config.resolve(parsed)


def cli(kind, arguments: Sequence[str], **options):
    """Calls ``tyro.cli``, and turns its errors, boxes of several lines, into one line."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            known = list(_in_their_writing(kind, arguments))
            return tyro.cli(kind, args=known, config=(tyro.conf.FlagCreatePairsOff,), **options)
    except SystemExit as exit_:
        if not exit_.code:
            raise
    # A box has a title, perhaps a rule, the message, a rule, and advice.
    lines = (line.strip("│ ") for line in printed.getvalue().splitlines()[1:])
    message = " ".join(itertools.takewhile(_is_no_rule, itertools.dropwhile(lambda line: not _is_no_rule(line), lines)))
    _, is_unknown, given = message.partition("Unrecognized options: ")
    if is_unknown:
        nearest = names.nearest(given.partition("=")[0].partition(",")[0], dict(config.types(kind)))
        message = f"unknown flag {given}" + (f"; did you mean {nearest}?" if nearest else "")
    raise errors.UserError(f"{message} (--help shows all flags)")


def _in_their_writing(kind, arguments: Sequence[str]) -> Iterator[str]:
    """Yields the arguments, with the values of flags with choices in their usual spelling: ``Paper`` -> ``paper``."""
    choices = config.choices(kind)
    pending: tuple = ()  # choices of the previous flag
    for argument in arguments:
        flag, is_with_value, value = argument.partition("=")
        known = choices.get(flag.replace("_", "-"), ())
        if known and is_with_value:
            yield f"{flag}={names.find(value, known) or value}"
        else:
            yield names.find(argument, pending) or argument
        pending = () if is_with_value else known


def _is_no_rule(line: str) -> bool:
    return not set(line) <= set("─-╭╮╰╯")
