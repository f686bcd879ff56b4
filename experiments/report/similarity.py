"""Gradient similarity: Figure 2, its table, and agreement by layer."""

import functools
from collections.abc import Mapping

from experiments.gradient_similarity import drawing
from experiments.report import configuration, parts


def of(dataset: str, measured: Mapping[str, Mapping[int, dict]]) -> list[parts.Part]:
    """Returns the parts of the page on gradient similarity.

    Args:
        dataset: its name.
        measured: target -> seed -> what was measured.
    """
    results = {target: [of_target[seed] for seed in sorted(of_target)] for target, of_target in measured.items()}
    similarity = [
        parts.picture(
            functools.partial(drawing.draw_similarity, {target: runs}, panels_in_a_row=1),
            f"{dataset}: mean cosine similarity of gradients within and between domains by step, target {target}",
        )
        for target, runs in results.items()
    ]
    agreement = [
        parts.picture(
            functools.partial(drawing.draw_agreement, runs),
            f"{dataset}: share of agreeing gradient components by layer and step, target {target}",
        )
        for target, runs in results.items()
    ]
    return [
        parts.Heading("Figure 2: similarity of gradients"),
        parts.Pictures(
            similarity,
            "Gradients of single images while Deep-All trains, for each target. Lines are means over seeds, "
            "bands one standard deviation.",
        ),
        parts.Grid(
            f"{dataset}: mean cosine similarity of gradients within domains (intra) and between them (inter) by target",
            drawing.HEADER,
            drawing.summary(results),
        ),
        parts.Lines(["± is one standard deviation: over all measurements, or over seeds at the last step."]),
        parts.Pictures(
            agreement,
            "Share of components of the gradients of an ordinary domain batch whose signs agree, by layer and step; "
            "means over seeds.",
        ),
    ]


def settings(dataset: str, measured: Mapping[str, Mapping[int, dict]]) -> parts.Grid:
    """Returns the settings of the measurements. If targets differ, it says which targets have each."""
    targets_of: dict[tuple[str, str], list[str]] = {}
    for target, of_target in measured.items():
        for name, value in next(iter(of_target.values()))["settings"].items():
            if name != "sources":
                targets_of.setdefault((name, configuration.text(value)), []).append(target)
    rows = [
        [name, value, "" if len(targets) == len(measured) else ", ".join(targets)]
        for (name, value), targets in sorted(targets_of.items())
    ]
    header = ["name", "value", "targets"][: 3 if any(row[2] for row in rows) else 2]
    cut = [row[: len(header)] for row in rows]
    return parts.Grid(f"{dataset}, gradient similarity: settings", header, cut, num_names=len(header))
