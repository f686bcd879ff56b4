"""Time of every combiner, over the least time that its memory traffic takes.

    python -m experiments.benchmark limit

The limit is the time of the bytes that must be read and written, at the rate of a plain copy into new memory in the
same turns. Rules by component read N rows and write one. Rules on the Gramian read the N rows twice. Agr-Rand, GGA-L
and SAND-mask also write and read one row in between.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from dg_jax import strategies
from dg_jax.config import methods
from experiments.benchmark import measure, report, stacks

ROWS = 3
SETTINGS = {"krum": dataclasses.asdict(methods.Krum(byzantine=0)), "weighted": {"weights": (0.2, 0.3, 0.5)}}
# These also take the two-pass form, but read the rows once: their weights do not depend on the gradients.
_IN_ONE_PASS = ("deep_all", "sum", "group_dro", "weighted")
# The scale of their noise or mask depends on all components, so no component is done before all are read.
_SCALED_IN_THE_END = ("agr_rand", "gga_l", "sand_mask")


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measures every combiner on gradients of AlexNet's size, as its tree, in turns with a plain copy."""

    combiners: tuple[str, ...] = tuple(sorted({strategy.combiner for strategy in strategies.STRATEGIES.values()}))
    """Which combiners."""
    components: int = stacks.ALEXNET
    """Length of a gradient; by default AlexNet's."""
    repetitions: int = 7
    """How many times each is measured."""
    output: pathlib.Path | None = None
    """The JSON file; by default in experiments/benchmark/results/."""


def rows_moved(combiner: str, n: int) -> int:
    """Returns the least number of rows that a combiner of n gradients reads and writes."""
    if "two_pass" in strategies.FORMS[combiner] and combiner not in _IN_ONE_PASS:
        return 2 * n + 1
    return n + 3 if combiner in _SCALED_IN_THE_END else n + 1


def at_least(combiner: str, n: int, copying: measure.Spread) -> measure.Spread:
    """Returns the seconds of a combiner's traffic at the rate at which all n gradients were copied."""
    return measure.Spread(tuple(rows_moved(combiner, n) / (2 * n) * value for value in copying.values))


def main(flags: Sequence[str]) -> None:
    """Measures and writes the report.

    Raises:
        UserError: a flag is wrong, or a file cannot be written.
    """
    arguments = tyro.cli(Arguments, args=list(flags), prog="python -m experiments.benchmark limit")
    measure.check_repetitions(arguments.repetitions)
    measure.known_names("--combiners", arguments.combiners, list(strategies.FORMS))
    stack = stacks.flat(ROWS, arguments.components)
    gradients, whole = stacks.on_device("tree", stack), jnp.asarray(stack)
    copy = jax.jit(jnp.copy)
    table = report.Table(
        "limit",
        f"Combiners on {ROWS} x {arguments.components:,} float32 as AlexNet's tree; median (fastest to slowest). "
        "Limit: time of the bytes that must be read and written, at the rate of a plain copy into new memory in the "
        "same turns.",
        [
            report.Column("combiner", "combiner"),
            report.Column("moved", "rows read and written"),
            report.Column("ours", "ours, ms", 1e3),
            report.Column("limit", "limit, ms", 1e3),
            report.Column("ours / limit", "ours / limit"),
            report.Column("ours / deep_all", "beside deep_all"),
        ],
    )
    beside = _call("deep_all", gradients)
    for combiner in arguments.combiners:
        calls = {
            "ours": _call(combiner, gradients),
            "copy": lambda: jax.block_until_ready(copy(whole)),
            "deep_all": beside,
        }
        seconds = measure.alternate(calls, arguments.repetitions, what=combiner)
        limit = at_least(combiner, ROWS, seconds["copy"])
        table.rows.append(
            {
                "combiner": combiner,
                "moved": rows_moved(combiner, ROWS),
                "ours": seconds["ours"],
                "limit": limit,
                "ours / limit": measure.ratio(seconds["ours"], limit),
                "ours / deep_all": measure.ratio(seconds["ours"], seconds["deep_all"]),
            }
        )
    report.write("limit", ["limit", *flags], [table], arguments.output)


def _call(combiner: str, gradients: dict[str, jax.Array]) -> Callable[[], object]:
    """Returns a function that calls the compiled combiner."""
    link = strategies.make_combiner(combiner, SETTINGS.get(combiner, {}), num_rows=ROWS)
    params = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), gradients)
    state, losses = link.init(params), jnp.asarray(np.linspace(1, 2, ROWS, dtype=np.float32))
    update = jax.jit(lambda stacked, state: link.update(stacked, state, losses=losses))
    return lambda: jax.block_until_ready(update(gradients, state))
