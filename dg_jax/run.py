"""The command line: one configuration in, one run, one result out.

python -m dg_jax.run --strategy=agr_sum
"""

import contextlib
import dataclasses
import io
import itertools
import logging
import signal
import sys
from collections.abc import Sequence
from typing import Literal

import tyro
from rich import console, table

from dg_jax import errors, strategies
from dg_jax.config import RunConfig, check, defaults, resolve


@dataclasses.dataclass(frozen=True)
class _Base:
    """The flags on which the defaults of the others depend."""

    dataset: str = "emoji"
    preset: Literal["dataset", "paper"] = "dataset"


def parse(arguments: Sequence[str]) -> RunConfig:
    """Reads the command line and checks it.

    Raises:
        UserError: a flag or its value is wrong.
        SystemExit: ``--help`` was asked for and has been shown.
    """
    base, _ = cli(_Base, arguments, add_help=False, return_unknown_args=True)
    config = cli(RunConfig, arguments, prog="python -m dg_jax.run", default=defaults(base.dataset, base.preset))
    config = resolve(config)
    check(config)
    return config


def cli(kind, arguments: Sequence[str], **options):
    """Calls ``tyro.cli``, whose errors are boxes of several lines, and makes one line of them."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return tyro.cli(kind, args=list(arguments), config=(tyro.conf.FlagCreatePairsOff,), **options)
    except SystemExit as exit_:
        if not exit_.code:
            raise
    # A title, perhaps a rule, the message, a rule, and advice.
    lines = (line.strip("│ ") for line in printed.getvalue().splitlines()[1:])
    message = itertools.takewhile(_is_no_rule, itertools.dropwhile(lambda line: not _is_no_rule(line), lines))
    raise errors.UserError(" ".join(message) + " (--help shows all flags)")


def _is_no_rule(line: str) -> bool:
    return not set(line) <= set("─-")


def run(config: RunConfig) -> dict:
    """Does one run, or finds that it has been done, and returns what its ``result.json`` holds.

    Raises:
        UserError: something that the user can mend; nothing half-written is left.
        Interrupted: SIGINT or SIGTERM came; a checkpoint was left.
    """
    # These imports take seconds, which --help and a mistyped flag need not wait for.
    from dg_jax import models
    from dg_jax.data import prepared
    from dg_jax.training import keys, loop, record

    models.check(config.model, config.image_size)
    folder = record.folder_of(config)
    finished = record.finished_result(config, folder)
    if finished is not None:
        print(f"done already: {folder.result_file} (--overwrite does it again)", file=sys.stderr)
        return finished
    data = prepared.load(
        config.dataset,
        {domain: ("test",) if domain == config.target else ("train", "validation") for domain in config.domains},
        image_size=config.image_size,
        split_seed=config.seed,
        data_dir=config.data_dir,
        prepared_dir=config.prepared_dir,
        splits_dir=config.splits_dir,
        skip_damaged=config.skip_damaged,
    )
    check_batch_size(config, data)
    weights_key = keys.key_for(config.seed, keys.Purpose.WEIGHTS)
    network = models.create(config.model, len(data.classes), weights_key, config.weights)
    record.open_folder(config, folder)
    return loop.train(config, data, *network, folder)


def check_batch_size(config: RunConfig, data) -> None:
    """Raises a ``UserError`` if a source of a dataset has too few training images for one batch."""
    for domain in config.sources:
        size = len(data.domains[domain]["train"].label)
        if config.batch_size > size:
            raise errors.UserError(
                f"--batch-size={config.batch_size} is larger than the training part of {domain}, {size} images"
            )


def show(result: dict) -> None:
    """Prints the end of a run as a small table on stdout."""
    other_combiner = result["combiner"] != strategies.get(result["strategy"]).combiner
    method = result["strategy"] + (f" with {result['combiner']}" if other_combiner else "")
    rows = table.Table(title=f"{method} on {result['dataset']}, target {result['target']}")
    rows.add_column("")
    rows.add_column("accuracy", justify="right")
    rows.add_row(
        f"validation ({', '.join(result['sources'])}), step {result['selected_step']}", _percent(result["val_accuracy"])
    )
    rows.add_row(f"test ({result['target']}), selected parameters", _percent(result["test_accuracy"]))
    rows.add_row(f"test ({result['target']}), last parameters", _percent(result["test_accuracy_last"]))
    console.Console().print(rows)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}%"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0, 2 for bad input, 130 or 143 when stopped."""
    from dg_jax.training.interrupt import Interrupted

    logging.getLogger("absl").setLevel(logging.ERROR)  # TFDS and Orbax warn of what is none of the user's concern
    try:
        show(run(parse(sys.argv[1:] if arguments is None else arguments)))
    except errors.UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Interrupted as stopped:
        print(f"{stopped}; --resume goes on from there", file=sys.stderr)
        return 128 + stopped.signal_number
    except KeyboardInterrupt:
        print("stopped before the first step", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
