"""The figures of the spirals."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import jax
import numpy as np

from dg_jax.analysis import colours, figures, lines
from experiments.spirals import tables

if TYPE_CHECKING:
    from dg_jax import predict
    from dg_jax.data import dataset

_PIXELS, _EXTENT = 160, 2.4
_DRAWS = 16  # of the shortcuts, over which the prediction is averaged
_SHOWN = 300


def regions(networks: "Mapping[str, predict.TrainedNetwork]", test: "dataset.Part") -> figures.Figure:
    """Draws what a network predicts over the two coordinates of the spiral, averaged over random shortcuts."""
    figure = figures.Figure(figsize=(0.5 + 4.2 * len(networks), 5.2), layout="constrained")
    all_axes = figure.subplots(1, len(networks), sharex=True, sharey=True, squeeze=False)[0]
    places = np.linspace(-_EXTENT, _EXTENT, _PIXELS, dtype=np.float32)
    grid = np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)
    shortcuts = test.image[:_DRAWS, 2:]
    for axes, (name, network) in zip(all_axes, networks.items(), strict=True):
        probabilities = [
            jax.nn.softmax(network.apply(np.hstack([grid, np.broadcast_to(draw, (len(grid), len(draw)))])))[:, 1]
            for draw in shortcuts
        ]
        image = np.mean(probabilities, axis=0).reshape(_PIXELS, _PIXELS)
        extent = (-_EXTENT, _EXTENT, -_EXTENT, _EXTENT)
        axes.imshow(image, origin="lower", extent=extent, cmap="RdBu_r", vmin=0, vmax=1, alpha=0.6)
        for label, colour in ((0, "tab:blue"), (1, "tab:red")):
            points = test.image[:_SHOWN][test.label[:_SHOWN] == label]
            axes.scatter(points[:, 0], points[:, 1], s=8, color=colour, linewidths=0)
        axes.set(title=f"{name}: {100 * network.result['test_accuracy']:.0f}% right", aspect="equal")
        axes.set_xlabel("first coordinate of the spiral")
    all_axes[0].set_ylabel("second coordinate")
    return figure


def over_values(found: Sequence[tables.Measured], scan: str) -> figures.Figure:
    """Draws accuracy on the test and on the environments over the values of a scan, a line for each method."""
    figure = figures.Figure(figsize=(10, 3.8), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, (name, title) in zip(
        panels, (("test_last", "test, shortcuts at random"), ("validation", "environments")), strict=True
    ):
        for method in dict.fromkeys(one.method for one in found):
            points: dict[float, list[float]] = {}
            for one in found:
                if one.method == method:
                    points.setdefault(one.value, []).append(getattr(one, name))
            lines.line(axes, points, method)
        axes.set(title=title, xlabel=scan.replace("_", " "))
        if all(one.value == int(one.value) for one in found):
            axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(axis="y", color="0.9", linewidth=0.8)
    panels[0].set_ylabel("accuracy in %")
    lines.legend(figure, panels[0])
    return figure


def agreement(found: Sequence[tables.Measured], scan: str) -> figures.Figure:
    """Draws the share of components that agree over the steps, the mean over seeds, a line for each cell.

    The larger the value of a scan, the darker is its line; the value stands at the line's end.
    """
    figure = figures.Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    values = sorted({one.value for one in found})
    for value, method, runs in tables.cells(found):
        logged = [run.agreement for run in runs if run.agreement]
        if logged:
            steps = [step for step, _ in logged[0]]
            shares = np.mean([[share for _, share in run] for run in logged], axis=0)
            look = colours.look(method)
            of_value = "" if scan == "none" else f", {scan.replace('_', ' ')} {value:g}"
            shade = 0.3 + 0.7 * (values.index(value) + 1) / len(values)
            label = figures.label(method + of_value)
            axes.plot(steps, shares, color=look.line, linestyle=look.dashes, alpha=shade, label=label)
            if of_value:
                axes.annotate(f" {value:g}", (steps[-1], shares[-1]), va="center", fontsize=8)
    axes.set(xlabel="step", ylabel="share of components that agree", ylim=(0, 1))
    axes.legend(frameon=False, fontsize=8)
    return figure
