"""The tables of the shortcut: accuracies of the strategies over its strength."""

import csv
import io
import statistics
from collections.abc import Mapping

from dg_jax.analysis import markdown, render, significance

Seeds = Mapping[int, float]
# Name of the measure -> target -> strength -> method -> seed -> accuracy as a fraction. The measures are "target",
# "validation", "shortcut" (the target's pictures with the square of a source, mean over the sources) and
# "shortcut of SOURCE".
Measures = Mapping[str, Mapping[str, Mapping[float, Mapping[str, Seeds]]]]

BASELINE = "deep_all"
_TITLES = {
    "target": "target, squares of random colours",
    "validation": "validation of the sources, squares as in training",
    "shortcut": "target, squares right by a source's code (mean over sources)",
    "lean": "lean on the shortcut: right squares minus random ones",
}


def with_lean(measures: Measures) -> dict[str, Mapping[str, Mapping[float, Mapping[str, Seeds]]]]:
    """Adds the measure ``"lean"``: what right squares add to the accuracy on the target, for each run.

    Example:
        >>> of = lambda accuracy: {"windows": {1.0: {"deep_all": {0: accuracy}}}}
        >>> with_lean({"target": of(0.25), "shortcut": of(0.75)})["lean"]
        {'windows': {1.0: {'deep_all': {0: 0.5}}}}
    """
    lean = {
        target: {
            strength: {
                method: {
                    seed: accuracy - measures["target"][target][strength][method][seed] for seed, accuracy in s.items()
                }
                for method, s in methods.items()
            }
            for strength, methods in strengths.items()
        }
        for target, strengths in measures["shortcut"].items()
    }
    return {**measures, "lean": lean}


def to_markdown(measures: Measures) -> str:
    """Returns a table for each measure, in percent: a row for each target and strength, a column for each method.

    A cell is the mean and in brackets the standard deviation over seeds, with a star where the
    paired Wilcoxon test against Deep-All has p < 0.05.
    """
    blocks = []
    for name, of_targets in with_lean(measures).items():
        methods = methods_of(measures)
        rows = [
            [markdown.escape(target), f"{strength:g}", *(_cell(of_methods, method) for method in methods)]
            for target, strengths in of_targets.items()
            for strength, of_methods in strengths.items()
        ]
        header = ["target", "strength", *map(markdown.escape, methods)]
        blocks.append(f"### {_TITLES.get(name, f'target, {name}')}\n\n{markdown.table(header, rows, num_names=2)}")
    counts = sorted({len(seeds) for _, _, _, _, seeds in _cells(measures)})
    blocks.append(
        "Percent, mean (standard deviation) over seeds; lean in points. Seeds in a cell: "
        f"{', '.join(map(str, counts))}. A star: p below {significance.LEVEL} against {BASELINE} (paired Wilcoxon "
        "signed-rank test, two-sided, not corrected for the number of tests)."
    )
    return "\n\n".join(blocks) + "\n"


def to_csv(measures: Measures) -> str:
    """Returns one line for each measure, target, strength and method; fractions, to all digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    header = ("measure", "target", "strength", "method", "seeds", "mean", "standard_deviation")
    writer.writerow([*header, "mean_difference", "rank_biserial", "p"])
    complete = with_lean(measures)
    for name, target, strength, method, seeds in _cells(complete):
        comparison = _comparison(complete[name][target][strength], method)
        tested = [comparison.mean_difference, comparison.rank_biserial, comparison.p] if comparison else [""] * 3
        writer.writerow(
            [name, target, strength, method, len(seeds), statistics.fmean(seeds.values()), _deviation(seeds), *tested]
        )
    return text.getvalue()


def methods_of(measures: Measures) -> list[str]:
    """Returns all methods, in the order in which they come."""
    return list(dict.fromkeys(method for _, _, _, method, _ in _cells(measures)))


def _cells(measures: Measures):
    for name, of_targets in measures.items():
        for target, strengths in of_targets.items():
            for strength, methods in strengths.items():
                for method, seeds in methods.items():
                    yield name, target, strength, method, seeds


def _comparison(methods: Mapping[str, Seeds], method: str) -> significance.Comparison | None:
    if method == BASELINE or not methods.get(BASELINE, {}).keys() & methods[method].keys():
        return None
    return significance.compare(methods[method], methods[BASELINE])


def _deviation(seeds: Seeds) -> float | str:
    return statistics.stdev(seeds.values()) if len(seeds) > 1 else ""


def _cell(methods: Mapping[str, Seeds], method: str) -> str:
    if method not in methods:
        return markdown.MISSING
    seeds, comparison = methods[method], _comparison(methods, method)
    deviation = f" ({render.percent(statistics.stdev(seeds.values()))})" if len(seeds) > 1 else ""
    star = r"\*" * (comparison is not None and comparison.significant)
    mean = round(100 * statistics.fmean(seeds.values()), 2) + 0.0  # -0.0 + 0.0 is 0.0
    return f"{mean:.2f}{deviation}{star}"
