"""Draws what the benchmarks measured: combiners and steps beside PyTorch, and memory over the number of domains.

    python -m experiments.performance_figure

It reads experiments/benchmark/results/ and writes experiments/figures/performance.png.
"""

import json
import pathlib
from typing import Any

from dg_jax.command_line import packages

if __name__ == "__main__":
    packages.exit_unless_installed("analysis")

from dg_jax.analysis import figures

RESULTS = pathlib.Path(__file__).parent / "benchmark" / "results"
OUTPUT = pathlib.Path(__file__).parent / "figures" / "performance.png"
OURS, RIVAL, LIMIT = "tab:red", "tab:blue", "0.35"
GROWING = ("agr_sum", "pcgrad")


def rows(benchmark: str, table: str) -> list[dict[str, Any]]:
    """Returns the rows of a table that a benchmark has written."""
    found: list[dict[str, Any]] = json.loads((RESULTS / f"{benchmark}.json").read_text())["tables"][table]["rows"]
    return found


def median(row: dict[str, Any], key: str, scale: float = 1e3) -> float:
    return scale * float(row[key]["median"])


def bars(axes, names: list[str], ours: list[float], theirs: list[float]) -> None:
    """Draws two bars for each name."""
    places = range(len(names))
    axes.bar([place - 0.2 for place in places], ours, 0.4, color=OURS, label="dg_jax")
    axes.bar([place + 0.2 for place in places], theirs, 0.4, color=RIVAL, label="PyTorch, eager")
    axes.set_xticks(list(places), names, fontsize=8)


def main() -> None:
    figure = figures.Figure(figsize=(13, 4.2), layout="constrained")
    combiners, steps, memory = figure.subplots(1, 3)

    of_tree = [row for row in rows("combiners-cpu", "combiners") if row["form"] == "tree"]
    ours = [median(row, "ours") for row in of_tree]
    bars(combiners, [row["combiner"] for row in of_tree], ours, [median(row, "plain") for row in of_tree])
    limits = [time / median(row, "ours / limit", 1) for time, row in zip(ours, of_tree, strict=True)]
    for place, limit in enumerate(limits):
        label = "its bytes, copied into new memory" if place == 0 else None
        combiners.plot([place - 0.4, place], [limit, limit], color=LIMIT, lw=2, label=label)
    combiners.set(
        ylabel="ms",
        title="a combiner on 3 gradients of AlexNet",
        ylim=(0, 1.3 * max(median(row, "plain") for row in of_tree)),
    )

    both = [("small network", rows("step-small_cnn-cpu", "step")), ("AlexNet", rows("step-alexnet-cpu-two", "step"))]
    measured = [
        (network, row) for network, found in both for row in found if row["strategy"] in ("deep_all", "agr_sum")
    ]
    ratios = [median(row, "ours / plain", 1) for _, row in measured]
    names = [f"{network}\n{row['strategy']}" for network, row in measured]
    bars(steps, names, ratios, [1.0] * len(names))
    steps.set(ylabel="time over PyTorch's", title="a training step", ylim=(0, 1.3))

    growth = rows("combiners-cpu", "growth")
    for combiner, style in zip(GROWING, ("o-", "s--"), strict=True):
        of_one = [row for row in growth if row["combiner"] == combiner]
        numbers = [row["N"] for row in of_one]
        memory.plot(
            numbers, [row["ours, bytes"] / 1e6 for row in of_one], style, color=OURS, label=f"dg_jax, {combiner}"
        )
        memory.plot(
            numbers, [row["plain, bytes"] / 1e6 for row in of_one], style, color=RIVAL, label=f"PyTorch, {combiner}"
        )
    memory.set(xlabel="domains N", ylabel="MB", ylim=(0, None), title="memory beside N gradients of 10 million")
    memory.set_xticks(numbers)

    for axes in (combiners, steps, memory):
        axes.legend(frameon=False, fontsize=8)
    OUTPUT.parent.mkdir(exist_ok=True)
    figures.save(figure, OUTPUT)
    print(OUTPUT)


if __name__ == "__main__":
    main()
