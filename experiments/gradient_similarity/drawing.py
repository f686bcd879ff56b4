"""The table and the figures of measured similarities."""

import pathlib

import numpy as np

from dg_jax.analysis import figures, markdown, similarity_figures
from experiments import pictures

HEADER = ("target", "seeds", "intra, all steps", "inter, all steps", "intra, last", "inter, last", "intra > inter")


def summary(results: dict[str, list[dict]]) -> list[list[str]]:
    """Returns a row for each target, with the columns of :data:`HEADER`: mean cosines over all steps and at the last.

    Deviations are over measurements (all steps) or over seeds (the last step).
    """

    def mean_and_deviation(values: np.ndarray) -> str:
        deviation = f" ± {values.std(ddof=1):.3f}" if values.size > 1 else ""
        return f"{values.mean():.3f}{deviation}"

    rows = []
    for target, runs in results.items():
        intra, inter = (np.array([one[name] for one in runs]) for name in ("intra", "inter"))
        cosines = [mean_and_deviation(values) for values in (intra, inter, intra[:, -1], inter[:, -1])]
        share = f"{(intra > inter).sum()} of {intra.size}"
        rows.append([target, str(len(runs)), *cosines, share])
    return rows


def to_markdown(results: dict[str, list[dict]]) -> str:
    """Formats the summary as a table."""
    rule = ["---"] * len(HEADER)
    rows = [[markdown.escape(target), *cells] for target, *cells in summary(results)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (HEADER, rule, *rows))


def draw_similarity(results: dict[str, list[dict]], panels_in_a_row: int = 4) -> figures.Figure:
    """Draws Figure 2, a panel for each target."""
    panels = {
        f"sources {', '.join(runs[0]['settings']['sources'])}": similarity_figures.Curves(
            *(np.array(values) for values in (runs[0]["steps"], [r["intra"] for r in runs], [r["inter"] for r in runs]))
        )
        for runs in results.values()
    }
    return similarity_figures.curves(panels, panels_in_a_row)


def draw_agreement(runs: list[dict]) -> figures.Figure:
    """Draws the heat map of agreement of one target's runs."""
    return similarity_figures.heat_map(
        np.array(runs[0]["steps"]),
        runs[0]["layers"],
        np.mean([one["agreement"] for one in runs], axis=0),
        f"agreement of {', '.join(runs[0]['settings']['sources'])}",
    )


def draw(results: dict[str, list[dict]], folder: pathlib.Path) -> None:
    """Writes all figures as PNG and PDF."""
    drawn = {"similarity": draw_similarity(results)}
    drawn |= {f"agreement-{target}": draw_agreement(runs) for target, runs in results.items()}
    for name, figure in drawn.items():
        for ending in ("png", "pdf"):
            pictures.save(figure, folder / f"{name}.{ending}")
