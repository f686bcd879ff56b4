"""Cost and effect of cheaper steps: weights that are kept for some steps, or the Gramian of one layer.

python -m experiments.benchmark cheaper
"""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import chex
import numpy as np
import optax
import tyro

from dg_jax import strategies, surgery
from experiments.benchmark import forms, measure, report

LAST_LAYER = {"dense": str(forms.LAYERS - 1), "alexnet": "dense3.kernel"}


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measures the steps of rules on the Gramian in their cheaper variants, and a step on the mean gradient."""

    networks: tuple[str, ...] = ("dense",)
    """Which networks: dense, alexnet."""
    rows: tuple[int, ...] = (4, 16)
    """Numbers N of losses."""
    combiners: tuple[str, ...] = ("cagrad", "upgrad")
    """Which rules."""
    k: int = 10
    """Weights are kept for this many steps. One measurement takes as many steps."""
    repetitions: int = 3
    """How many times each is measured."""
    steps: int = 50
    """The losses are reported after this many steps."""
    output: pathlib.Path | None = None
    """The JSON file; by default in experiments/benchmark/results/."""


def variants(combiner: str, network: str, n: int, k: int) -> dict[str, tuple[optax.GradientTransformation, str, bool]]:
    """Returns the variants by name: combiner, form of Jacobian, and whether the Gramian is that of the last layer."""
    rule = strategies.make_combiner(combiner, {}, num_rows=n)
    return {
        "the mean": (surgery.deep_all(), "two_pass", False),
        "stacked": (rule, "stacked", False),
        "two_pass": (rule, "two_pass", False),
        "last layer": (rule, "two_pass", True),
        f"every {k}": (surgery.every(k, rule, num_rows=n), "on_demand", False),
        f"every {k}, last layer": (surgery.every(k, rule, num_rows=n), "on_demand", True),
    }


def main(flags: Sequence[str]) -> None:
    """Measures and writes the report.

    Raises:
        UserError: a flag is wrong, or a file cannot be written.
    """
    arguments = tyro.cli(Arguments, args=list(flags), prog="python -m experiments.benchmark cheaper")
    measure.check_repetitions(arguments.repetitions)
    measure.known_names("--networks", arguments.networks, list(forms.NETWORKS))
    two_pass = [name for name, known in strategies.FORMS.items() if "two_pass" in known]
    measure.known_names("--combiners", arguments.combiners, two_pass)
    table = report.Table(
        "cheaper",
        f"A step with Adam on the networks of `forms`, averaged over {arguments.k} steps: median (fastest to slowest), "
        "and its ratio to a step on the mean. Losses of the domains "
        f"after {arguments.steps} steps on one batch, from the same start.",
        [
            report.Column("network", "network"),
            report.Column("N", "N"),
            report.Column("rule", "rule"),
            report.Column("variant", "variant"),
            report.Column("step", "step, ms", 1e3),
            report.Column("over the mean", "over the mean"),
            report.Column("mean loss", "mean loss"),
            report.Column("largest loss", "largest loss"),
        ],
    )
    for network in arguments.networks:
        for n in arguments.rows:
            for combiner in arguments.combiners:
                table.rows += _rows(arguments, network, n, combiner)
    report.write("cheaper", ["cheaper", *flags], [table], arguments.output)


def _rows(arguments: Arguments, network: str, n: int, combiner: str) -> list[dict]:
    steps: dict[str, Callable[[], chex.Array]] = {}
    for name, (link, form, of_last) in variants(combiner, network, n, arguments.k).items():
        gram_of = (lambda leaf: leaf == LAST_LAYER[network]) if of_last else None
        _, steps[name], _ = forms.compiled_step(network, n, link, form, gram_of)
    losses = {}
    for name, step in steps.items():
        for _ in range(arguments.steps):
            losses[name] = np.asarray(step())
    calls: dict[str, Callable[[], object]] = {name: _several(step, arguments.k) for name, step in steps.items()}
    seconds = measure.alternate(calls, arguments.repetitions, what=f"{network}, N = {n}, {combiner}")
    seconds = {name: measure.each(spread, arguments.k) for name, spread in seconds.items()}
    return [
        {
            "network": network,
            "N": n,
            "rule": combiner,
            "variant": name,
            "step": spread,
            "over the mean": measure.ratio(spread, seconds["the mean"]),
            "mean loss": float(losses[name].mean()),
            "largest loss": float(losses[name].max()),
        }
        for name, spread in seconds.items()
    ]


def _several(step: Callable[[], chex.Array], times: int) -> Callable[[], None]:
    def steps():
        for _ in range(times):
            step()

    return steps
