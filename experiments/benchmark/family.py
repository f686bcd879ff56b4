"""Time of the rules that only need the Gramian, against TorchJD.

    python -m experiments.benchmark family

Measured on gradients of AlexNet's size, where memory decides the time, and on short ones with more and more rows, where
the problem on the N x N matrix does. For a tree, TorchJD gets one matrix, as its ``autojac`` makes it. Its result is
split into leaves again.
"""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import torch
import tyro
from torchjd import aggregation

from experiments.benchmark import combiners, measure, report, stacks
from experiments.benchmark.rival import device as rival_device

# Rule -> TorchJD's aggregator for N rows, and how much the results may differ, relative to the largest component.
# TorchJD regularises the problems of UPGrad and Nash-MTL, also scales Nash-MTL's result, and stops MGDA early.
RIVALS: dict[str, tuple[Callable[[int], Any], float]] = {
    "pcgrad": (lambda n: aggregation.PCGrad(), np.inf),  # its order is random
    "mgda": (lambda n: aggregation.MGDA(), np.inf),
    "upgrad": (lambda n: aggregation.UPGrad(), 2e-2),
    "dualproj": (lambda n: aggregation.DualProj(), 1e-2),
    "cagrad": (lambda n: aggregation.CAGrad(c=0.5), 1e-3),
    "imtl_g": (lambda n: aggregation.IMTLG(), 1e-3),
    "conflict_free": (lambda n: aggregation.ConFIG(), 1e-3),
    "aligned_mtl": (lambda n: aggregation.AlignedMTL(), 1e-3),
    "nash_mtl": (lambda n: aggregation.NashMTL(n_tasks=n), np.inf),
}


SHORT = 10_000
CALLS = 10


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measures the rules on the Gramian in turns with TorchJD."""

    repetitions: int = 7
    """How many times each is measured."""
    combiners: tuple[str, ...] = tuple(RIVALS)
    """Which rules."""
    components: int = stacks.ALEXNET
    """Length of each of three gradients; by default AlexNet's."""
    eight_components: int = 10_000_000
    """Length of each of eight gradients."""
    rows: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 128)
    """Numbers of rows N of short gradients."""
    short_components: tuple[int, ...] = (200, 1_000_000)
    """Lengths of short gradients."""
    output: pathlib.Path | None = None
    """The JSON file; by default in experiments/benchmark/results/."""


def torchjd(rule: str, form: stacks.Form, stack: np.ndarray) -> Callable[[], Any]:
    """Returns a function that calls TorchJD's aggregator on a stack ``[N, n]``, or on the gradients of a tree."""
    device = rival_device.set_up()
    aggregate = RIVALS[rule][0](len(stack))
    if form == "flat":
        matrix = rival_device.tensor(stack, device)

        def on_matrix():
            gradient = aggregate(matrix)
            rival_device.wait(device)
            return gradient

        return on_matrix
    leaves = [rival_device.tensor(leaf, device) for leaf in stacks.tree(stack).values()]

    def on_tree():
        gradient = aggregate(torch.cat([leaf.flatten(1) for leaf in leaves], dim=1))
        pieces = gradient.split([leaf[0].numel() for leaf in leaves])
        rival_device.wait(device)
        return [piece.view(leaf.shape[1:]) for piece, leaf in zip(pieces, leaves, strict=True)]

    return on_tree


def contenders(rule: str, form: stacks.Form, stack: np.ndarray) -> dict[str, Callable[[], Any]]:
    """Returns our combiner and TorchJD's aggregator as functions without arguments."""
    return {"ours": combiners.ours(rule, stacks.on_device(form, stack)), "torchjd": torchjd(rule, form, stack)}


def several(call: Callable[[], Any], times: int) -> Callable[[], None]:
    """Returns a function that makes ``times`` calls."""

    def calls():
        for _ in range(times):
            call()

    return calls


def check(rule: str, rows: int) -> None:
    """Checks that both give the same result on short gradients."""
    calls = contenders(rule, "flat", stacks.flat(rows, 50))
    ours, theirs = np.asarray(calls["ours"]()[0]), calls["torchjd"]().cpu().numpy()
    difference = np.abs(ours - theirs).max() / np.abs(theirs).max()
    if np.isfinite(RIVALS[rule][1]):
        measure.check_difference(f"{rule} on {rows} rows, torchjd", difference, RIVALS[rule][1])


def main(flags: Sequence[str]) -> None:
    """Measures and writes the report.

    Raises:
        UserError: a flag is wrong, the two do not give the same numbers, or a file cannot be written.
    """
    arguments = tyro.cli(Arguments, args=list(flags), prog="python -m experiments.benchmark family")
    measure.check_repetitions(arguments.repetitions)
    measure.known_names("--combiners", arguments.combiners, tuple(RIVALS))
    for rule in arguments.combiners:
        for rows in (2, 3, 8):
            check(rule, rows)
    report.write("family", ["family", *flags], [_long(arguments), _short(arguments)], arguments.output)


def _long(arguments: Arguments) -> report.Table:
    three = stacks.flat(3, arguments.components)
    eight = stacks.flat(8, arguments.eight_components)
    table = report.Table(
        "long",
        "Gradients of a network's size, float32; median (fastest to slowest). Beside PCGrad: our time divided by that "
        "of our PCGrad, in the same turns. Temporary: memory without gradients and result, by XLA's analysis.",
        [
            report.Column("rule", "rule"),
            report.Column("gradients", "gradients"),
            report.Column("form", "form"),
            report.Column("ours", "ours, ms", 1e3),
            report.Column("torchjd", "TorchJD, ms", 1e3),
            report.Column("torchjd / ours", "TorchJD / ours"),
            report.Column("ours / pcgrad", "beside PCGrad"),
            report.Column("temporary", "temporary, MB", 1e-6),
        ],
    )
    sizes: list[tuple[np.ndarray, stacks.Form]] = [(three, "tree"), (three, "flat"), (eight, "flat")]
    for stack, form in sizes:
        beside = contenders("pcgrad", form, stack)["ours"]
        for rule in arguments.combiners:
            program, _ = combiners.compiled(rule, stacks.on_device(form, stack))
            calls = contenders(rule, form, stack) | {"pcgrad": beside}
            seconds = measure.alternate(calls, arguments.repetitions, what=f"{rule}, {form}")
            table.rows.append(
                {
                    "rule": rule,
                    "gradients": f"{len(stack)} x {stack.shape[1]:,}",
                    "form": form,
                    "ours": seconds["ours"],
                    "torchjd": seconds["torchjd"],
                    "torchjd / ours": measure.ratio(seconds["torchjd"], seconds["ours"]),
                    "temporary": program.memory_analysis().temp_size_in_bytes,  # type: ignore[union-attr]
                    "ours / pcgrad": measure.ratio(seconds["ours"], seconds["pcgrad"]),
                }
            )
    return table


def _short(arguments: Arguments) -> report.Table:
    table = report.Table(
        "short",
        f"More and more rows, each one vector. Below {SHORT:,} components a time is the mean of {CALLS} calls, so that "
        "the threads of both are awake. To compile: ours, once, tracing included.",
        [
            report.Column("rule", "rule"),
            report.Column("N", "N"),
            report.Column("components", "components"),
            report.Column("ours", "ours, ms", 1e3),
            report.Column("torchjd", "TorchJD, ms", 1e3),
            report.Column("torchjd / ours", "TorchJD / ours"),
            report.Column("compile", "to compile, s"),
        ],
    )
    for components in arguments.short_components:
        for rule in arguments.combiners:
            for rows in arguments.rows:
                stack = stacks.flat(rows, components)
                start = time.perf_counter()
                ours = combiners.ours(rule, jnp.asarray(stack))
                seconds_to_compile = time.perf_counter() - start
                times = CALLS if components < SHORT else 1
                calls = {"ours": ours, "torchjd": torchjd(rule, "flat", stack)}
                calls = {who: several(call, times) for who, call in calls.items()}
                seconds = measure.alternate(calls, arguments.repetitions, what=f"{rule}, {rows} x {components:,}")
                seconds = {who: measure.each(spread, times) for who, spread in seconds.items()}
                table.rows.append(
                    {
                        "rule": rule,
                        "N": rows,
                        "components": components,
                        **seconds,
                        "torchjd / ours": measure.ratio(seconds["torchjd"], seconds["ours"]),
                        "compile": seconds_to_compile,
                    }
                )
    return table
