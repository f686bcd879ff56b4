"""Table 1, Figure 3, validation curves and Figure 4 of the runs of a dataset."""

import dataclasses
import functools
from collections.abc import Sequence

import markupsafe
import numpy as np

from dg_jax.analysis import markdown, notes, render, result_figures
from dg_jax.analysis import table as tables
from dg_jax.training import files, metrics_file
from experiments import domain_control
from experiments.report import configuration, confusion, parts, validation_figures
from experiments.report.stored import Run, Stored


def of(dataset: str, found: Stored) -> list[parts.Part]:
    """Returns the parts of the page on accuracy."""
    runs = found.runs[dataset]
    multi_domain = [run for run in runs if not run.is_single_domain]
    made: list[parts.Part] = []
    if multi_domain:
        made += [*_table1(dataset, multi_domain), *_validation(dataset, multi_domain, found)]
        made += confusion.of(dataset, multi_domain)
    if len(multi_domain) < len(runs):
        made += _domain_control(dataset, runs)
    return made


def _table1(dataset: str, runs: Sequence[Run]) -> list[parts.Part]:
    summary = tables.summarize(_accuracies(runs), _methods(runs), _targets(runs))
    return [
        parts.Heading("Table 1: accuracy on the target"),
        *_tables(f"{dataset}: accuracy on the target in percent", summary),
        *_unlike(runs),
        parts.Heading("Figure 3: accuracy over seeds"),
        parts.Pictures(
            [
                parts.picture(
                    functools.partial(
                        result_figures.box_plots, dataclasses.replace(summary, targets=(target,)), parts.WIDTH
                    ),
                    f"{dataset}: box plots of the accuracy on {target} by method",
                )
                for target in summary.targets
            ],
            "Boxes reach from the lower to the upper quartile, whiskers from minimum to maximum; the line is the "
            "median, the triangle the mean.",
        ),
    ]


def _validation(dataset: str, runs: Sequence[Run], found: Stored) -> list[parts.Part]:
    read: dict[str, dict[str, list[dict[int, float]]]] = {}
    for run in runs:
        try:
            lines = metrics_file.validations(run.folder.metrics_file)
        except files.DamagedError as error:
            found.leave_out(error)
        else:
            read.setdefault(run.target, {}).setdefault(run.method, []).append(
                {line["step"]: line["val_accuracy"] for line in lines}
            )
    panels: dict[str, dict[str, validation_figures.Curve]] = {}
    for target, of_target in read.items():
        for method, of_runs in of_target.items():
            steps = sorted(set.intersection(*map(set, of_runs)))
            if steps:
                accuracies = np.array([[of_run[step] for step in steps] for of_run in of_runs])
                panels.setdefault(target, {})[method] = validation_figures.Curve(np.array(steps), accuracies)
    if not panels:
        return []
    return [
        parts.Heading("Validation accuracy during training"),
        parts.Pictures(
            [
                parts.picture(
                    functools.partial(validation_figures.curves, target, of_target, _methods(runs)),
                    f"{dataset}: validation accuracy over training steps by method, target {target}",
                )
                for target, of_target in panels.items()
            ],
            "Accuracy on the pooled validation images of the sources, for each target held out. It selects the "
            "parameters that are tested. Means over seeds, at the steps that all seeds have.",
        ),
    ]


def _domain_control(dataset: str, runs: Sequence[Run]) -> list[parts.Part]:
    single = [run for run in runs if run.is_single_domain]
    multi = [run for run in runs if not run.is_single_domain]
    methods, targets = _methods(single), _targets(single)
    names = {run.method: run.folder_name for run in single}
    of_multi, of_single = _accuracies(multi), _accuracies(single)
    of_multi = {target: of_multi.get(target, {}) for target in targets}
    named = {
        target: {names[method]: seeds for method, seeds in of_target.items()} for target, of_target in of_single.items()
    }
    made: list[parts.Part] = [
        parts.Heading("Figure 4: multi-domain and single-domain batches"),
        parts.Pictures(
            [
                parts.picture(
                    functools.partial(result_figures.bars, of_multi, of_single, methods, [target], parts.WIDTH),
                    f"{dataset}: bars of the mean accuracy on {target} with multi-domain and single-domain batches",
                )
                for target in targets
            ],
            "Error bars are one standard deviation over seeds.",
        ),
    ]
    for method, summary in domain_control.compare(of_multi, named, names, targets).items():
        made += _tables(f"{dataset}: {method} with single-domain and with multi-domain batches, in percent", summary)
    return [*made, *_unlike(runs)]


def _unlike(runs: Sequence[Run]) -> list[parts.Part]:
    """Returns a warning if the runs do not all have the same settings."""
    differing = configuration.differing(runs, configuration.settings_of)
    line = f"Not all of these runs have the same settings: they differ in {', '.join(differing)} (see Configuration)."
    return [parts.Lines([line])] if differing else []


def _tables(caption: str, summary: tables.Table) -> list[parts.Part]:
    rows = [
        [target, *(_cell(summary.cells[target].get(method)) for method in summary.methods)]
        for target in summary.targets
    ]
    if summary.averages:
        rows.append(["average", *(render.percent(summary.averages[method]) for method in summary.methods)])
    made: list[parts.Part] = [parts.Grid(caption, ["target", *summary.methods], rows), parts.Lines(notes.of(summary))]
    effects = render.effects(summary)
    if effects:
        against = f"{caption}: against {summary.baseline}, in pairs of the same seed"
        made.append(parts.Grid(against, render.EFFECTS, effects, num_names=2))
    return made


def _cell(cell: tables.Cell | None) -> str:
    if cell is None:
        return markdown.MISSING
    text = render.mean_and_deviation(cell)
    return (markupsafe.Markup("<strong>{}</strong>").format(text) if cell.best else text) + "*" * cell.significant


def _accuracies(runs: Sequence[Run]) -> dict[str, dict[str, dict[int, float]]]:
    found: dict[str, dict[str, dict[int, float]]] = {}
    for run in runs:
        found.setdefault(run.target, {}).setdefault(run.method, {})[run.seed] = run.result["test_accuracy"]
    return found


def _methods(runs: Sequence[Run]) -> list[str]:
    return list(dict.fromkeys(run.method for run in sorted(runs, key=lambda run: run.method_place)))


def _targets(runs: Sequence[Run]) -> list[str]:
    return list(dict.fromkeys(run.target for run in runs))
