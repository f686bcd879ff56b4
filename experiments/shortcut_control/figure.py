"""The figure of the shortcut: accuracies of the strategies over its strength."""

from dg_jax.analysis import figures, lines
from experiments.shortcut_control import tables

_ROWS = {
    "target": "target, random colours:\naccuracy in %",
    "validation": "validation of sources:\naccuracy in %",
    "shortcut": "target, right by a\nsource's code: accuracy in %",
    "lean": "lean on the shortcut:\nright minus random, points",
}


def over_strength(measures: tables.Measures) -> figures.Figure:
    """Draws a row of panels for each measure and a column for each target: a line for each method, over the strength.

    Error bars are one standard deviation over seeds. The points of one strength lie side by
    side, so that the bars can be told apart.

    Returns:
        A matplotlib ``Figure``.
    """
    complete, methods = tables.with_lean(measures), tables.methods_of(measures)
    targets = list(measures["target"])
    figure = figures.Figure(figsize=(1.0 + 4.5 * len(targets), 0.8 + 2.5 * len(_ROWS)), layout="constrained")
    panels = figure.subplots(len(_ROWS), len(targets), sharex=True, sharey="row", squeeze=False)
    for row, (name, label) in zip(panels, _ROWS.items(), strict=True):
        for axes, target in zip(row, targets, strict=True):
            strengths = complete[name][target]
            for i, method in enumerate(methods):
                points = {
                    strength + 0.008 * (i - (len(methods) - 1) / 2): list(of_methods[method].values())
                    for strength, of_methods in sorted(strengths.items())
                    if method in of_methods
                }
                lines.line(axes, points, method)
            axes.grid(axis="y", color="0.9", linewidth=0.8)
            axes.set_axisbelow(True)
            axes.set_xticks(sorted(strengths), [f"{strength:g}" for strength in sorted(strengths)])
        row[0].set_ylabel(label)
    for axes, target in zip(panels[0], targets, strict=True):
        axes.set_title(f"target {target}", fontsize=10)
    for axes in panels[-1]:
        axes.set_xlabel("share of the sources' pictures in which the colour is right")
    lines.legend(figure, panels[0, 0])
    return figure
