"""Draws two conflicting gradients and the result of each combiner.

    python -m experiments.combiners_figure

The picture goes to experiments/figures/combiners.png.
"""

import pathlib

from dg_jax.command_line import packages

if __name__ == "__main__":
    packages.exit_unless_installed("analysis")

import jax.numpy as jnp
import numpy as np

from dg_jax import surgery
from dg_jax.analysis import figures

# isort: split
from matplotlib import lines  # after figures, which says what to do if matplotlib is missing

GRADIENTS = np.array([[0.6, 1.6], [1.4, -0.9]])
DOMAINS = {"gradient of domain 1": "tab:blue", "gradient of domain 2": "tab:green"}
RESULT = "tab:red"
DRAWS = 60
OUTPUT = pathlib.Path(__file__).parent / "figures" / "combiners.png"

PANELS = {
    "deep_all": (surgery.deep_all(), "the mean\n"),
    "agr_sum": (surgery.agr_sum(), "agreeing component summed,\nconflicting one set to zero"),
    "agr_rand": (surgery.agr_rand(key=0), f"agreeing component summed,\nconflicting one random ({DRAWS} draws)"),
    "pcgrad": (surgery.pcgrad(), "each projected normal to the other,\nthen summed"),
}


def draws(combiner, count: int) -> np.ndarray:
    """Returns ``count`` successive results ``[count, 2]`` for the two gradients."""
    state, results = combiner.init(jnp.zeros(2)), []
    for _ in range(count):
        result, state = combiner.update(jnp.asarray(GRADIENTS), state)
        results.append(np.asarray(result))
    return np.stack(results)


def arrow(axes, vector, colour):
    axes.annotate("", xy=vector, xytext=(0, 0), arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 2.2})


def main() -> None:
    figure = figures.Figure(figsize=(11, 4.8), layout="constrained")
    all_axes = figure.subplots(1, len(PANELS), sharex=True, sharey=True)
    for axes, (name, (combiner, text)) in zip(all_axes, PANELS.items(), strict=True):
        axes.axhline(0, color="0.8", lw=1, zorder=0)
        axes.axvline(0, color="0.8", lw=1, zorder=0)
        for gradient, colour in zip(GRADIENTS, DOMAINS.values(), strict=True):
            arrow(axes, gradient, colour)
        results = draws(combiner, DRAWS if name == "agr_rand" else 1)
        if len(results) > 1:
            axes.scatter(results[:, 0], results[:, 1], s=12, color=RESULT, alpha=0.35, linewidths=0)
        arrow(axes, results[0], RESULT)
        axes.set_title(f"surgery.{name}()\n{text}", fontsize=10)
        axes.set(xlim=(-0.5, 2.9), ylim=(-3, 3), aspect="equal", xlabel="component 1: signs agree")
    all_axes[0].set_ylabel("component 2: signs conflict")
    named = {**DOMAINS, "what the combiner makes of them": RESULT}
    keys = [lines.Line2D([], [], color=colour, lw=2.2, label=name) for name, colour in named.items()]
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), frameon=False)
    OUTPUT.parent.mkdir(exist_ok=True)
    figures.save(figure, OUTPUT)
    print(OUTPUT)


if __name__ == "__main__":
    main()
