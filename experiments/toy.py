"""Two losses of two parameters: the paths that the combiners take from three starts.

    python -m experiments.toy
    python -m experiments.toy --combiners cagrad nash_mtl --scale=0.1 --steps=35000

Draws the paths over the contours of the mean loss, with the Pareto points, from which no step improves both losses.
Prints where the paths end. The losses are those of Liu et al., "Conflict-Averse Gradient Descent for Multi-task
Learning", NeurIPS 2021, figure 1; with ``--scale=0.1`` those of Navon et al., "Multi-Task Learning as a Bargaining
Game", ICML 2022, figure 2. The optimizer is Adam with a step size of 1e-3, as in the papers, in float64.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Sequence

from dg_jax.command_line import packages

if __name__ == "__main__":
    packages.exit_unless_installed("analysis", "train")

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

from dg_jax import errors, strategies, surgery
from dg_jax.analysis import figures
from dg_jax.command_line import program
from dg_jax.config import ranges

STARTS = np.array([[-8.5, 7.5], [-8.5, -5.0], [9.0, 9.0]])
PARETO = np.array([[-7.0, -8.3552], [7.0, -8.3552]])  # the ends of a straight line
STEP_SIZE = 1e-3
POINTS = 500  # of a path


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Draw the paths that combiners take on two losses of two parameters."""

    combiners: tuple[str, ...] = (
        *("deep_all", "agr_sum", "agr_rand", "pcgrad", "grad_vac", "mgda"),
        *("upgrad", "cagrad", "imtl_g", "conflict_free", "aligned_mtl", "nash_mtl"),
    )
    """Which combiners, a panel for each."""
    scale: float = 1.0
    """The first loss is multiplied by this."""
    steps: int = 100_000
    """How many steps of Adam, a multiple of 500."""
    output: pathlib.Path = pathlib.Path(__file__).parent / "figures" / "toy.png"
    """Where the picture goes."""


def losses(params: jax.Array, scale: float) -> jax.Array:
    """Returns the two losses ``[2]`` at a point ``[2]``.

    Where y > 0, each is the logarithm of a distance to a curve; where y < 0, each is a bowl of its own.
    """
    x, y = params
    above, below = jnp.maximum(jnp.tanh(y / 2), 0), jnp.maximum(jnp.tanh(-y / 2), 0)
    distances = jnp.abs(jnp.stack([-(x + 7) / 2 + jnp.tanh(y), (3 - x) / 2 - jnp.tanh(y) + 2]))
    ravines = jnp.log(jnp.maximum(distances, 5e-6)) + 6
    bowls = ((x - jnp.array([7.0, -7.0])) ** 2 + 0.1 * (y + 8) ** 2) / 10 - 20
    return (above * ravines + below * bowls) * jnp.array([scale, 1.0])


def paths(combiner: str, scale: float, steps: int) -> np.ndarray:
    """Returns points of the paths from all starts, with the first and last ones, ``[starts, points, 2]``."""
    optimizer = optax.chain(strategies.make_combiner(combiner, {}, num_rows=2), optax.adam(STEP_SIZE))
    values_and_jacobian = surgery.value_and_jacobian(losses)

    @jax.jit
    @jax.vmap
    def path(start):
        def step(_, before):
            params, state = before
            values, jacobian = values_and_jacobian(params, scale)
            updates, state = optimizer.update(jacobian, state, params, losses=values)
            return optax.apply_updates(params, updates), state

        def point(before, _):
            after = jax.lax.fori_loop(0, steps // POINTS, step, before)
            return after, after[0]

        return jax.lax.scan(point, (start, optimizer.init(start)), length=POINTS)[1]

    followed = np.asarray(path(jnp.asarray(STARTS)))
    return np.concatenate([STARTS[:, None], followed], axis=1)


def draw(all_paths: dict[str, np.ndarray], scale: float) -> figures.Figure:
    """Draws a panel for each combiner."""
    columns = min(len(all_paths), 4)
    rows = -(-len(all_paths) // columns)
    figure = figures.Figure(figsize=(2.9 * columns, 2.9 * rows), layout="constrained")
    grid = np.linspace(-11, 11, 200)
    points = jnp.stack(jnp.meshgrid(grid, grid), axis=-1)
    heights = jax.vmap(jax.vmap(lambda point: losses(point, scale).mean()))(points)
    all_axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in all_axes.flat[len(all_paths) :]:
        axes.set_axis_off()
    for axes, (combiner, found) in zip(all_axes.flat, all_paths.items(), strict=False):
        axes.contour(grid, grid, np.asarray(heights), levels=14, colors="0.75", linewidths=0.7, linestyles="solid")
        axes.plot(*PARETO.T, color="0.4", lw=4, solid_capstyle="butt")
        for one in found:
            axes.plot(*one.T, color="tab:red", lw=1.4)
        axes.plot(*STARTS.T, "o", color="black", ms=4)
        axes.plot(*found[:, -1].T, "*", color="tab:blue", ms=11, markeredgecolor="white", markeredgewidth=0.6)
        axes.set(
            title=combiner, xlim=(-11, 11), ylim=(-11, 11), aspect="equal", xticks=(-10, 0, 10), yticks=(-10, 0, 10)
        )
    return figure


def main(flags: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""

    def draws(given: Sequence[str]) -> None:
        arguments = tyro.cli(Arguments, args=list(given), prog="python -m experiments.toy")
        if arguments.steps < POINTS or arguments.steps % POINTS:
            raise errors.UserError(f"--steps={arguments.steps}: give a multiple of {POINTS}")
        names = [strategies.full_combiner_name(name) for name in arguments.combiners]
        for name in names:
            if name in ranges.REQUIRED:
                raise errors.UserError(f"--combiners: {name} needs settings that have no flags here")
        all_paths = {}
        with jax.enable_x64(True):
            for name in names:
                all_paths[name] = paths(name, arguments.scale, arguments.steps)
                ends = [f"({x:.3f}, {y:.3f})" for x, y in all_paths[name][:, -1]]
                print(f"{name:14}" + "".join(f"{end:>20}" for end in ends), flush=True)
            figures.save(draw(all_paths, arguments.scale), arguments.output)
        print(arguments.output)

    return program.main(draws, "nothing is kept of it", flags)


if __name__ == "__main__":
    sys.exit(main())
