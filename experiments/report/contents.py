"""The content of the page, in order."""

import collections
import shlex
from collections.abc import Sequence

from dg_jax import errors
from dg_jax.data import registry
from experiments.report import accuracy, commands, configuration, grid, parts, similarity
from experiments.report.stored import Run, Stored


def sections(found: Stored) -> list[parts.Section]:
    """Returns a section for each dataset, and one for what could not be read, if there is any."""
    made = [parts.Section(dataset, _of_dataset(dataset, found)) for dataset in found.datasets]
    if found.left_out:  # the sections above may leave out files too
        lines = ["These could not be read; nothing on this page uses them.", *found.left_out]
        made.append(parts.Section("Left out", [parts.Lines(lines)]))
    return made


def summary(found: Stored) -> list[str]:
    """Returns in a few lines what the page is made from."""
    runs, grid_runs = ([run for runs in kind.values() for run in runs] for kind in (found.runs, found.grid_runs))
    measured = sum(len(of_target) for targets in found.similarities.values() for of_target in targets.values())
    counts = {
        "Finished runs": len(runs),
        "finished runs of grid searches": len(grid_runs),
        "measurements of gradient similarity": measured,
        "damaged or foreign files, left out": len(found.left_out),
    }
    lines = ["; ".join(f"{what}: {count}" for what, count in counts.items() if count) + "."]
    if found.unfinished:
        methods = collections.Counter(str(path.parent) for path in found.unfinished)
        listed = errors.listed([f"{count} in {folder}" for folder, count in methods.items()])
        lines.append(f"Without a result yet, and not on this page: {listed}.")
    return lines


def _of_dataset(dataset: str, found: Stored) -> list[parts.Part]:
    runs, grid_runs = found.runs.get(dataset, []), found.grid_runs.get(dataset, [])
    made: list[parts.Part] = []
    if runs:
        made += accuracy.of(dataset, found)
    if dataset in found.similarities:
        made += similarity.of(dataset, found.similarities[dataset])
    if grid_runs:
        made += grid.of(dataset, grid_runs)
    made.append(parts.Heading("Configuration and versions"))
    if runs or grid_runs:
        made += _configuration(dataset, runs, grid_runs)
    if dataset in found.similarities:
        made.append(similarity.settings(dataset, found.similarities[dataset]))
    return [*made, *_commands(dataset, found)]


def _configuration(dataset: str, runs: Sequence[Run], grid_runs: Sequence[Run]) -> list[parts.Part]:
    made: list[parts.Part] = []
    of_grid = {run.folder for run in grid_runs}

    def settings_of(run: Run) -> dict[str, object]:
        tried = (
            dict.fromkeys(("learning_rate", "weight_decay"), "those of the grid search")
            if run.folder in of_grid
            else {}
        )
        return configuration.settings_of(run) | tried

    all_runs = [*runs, *grid_runs]
    for name, values_of in (("settings", settings_of), ("made with", configuration.versions_of)):
        differing = configuration.differing(all_runs, values_of)
        line = f"They differ in {', '.join(differing)}." if differing else "They are the same in all runs."
        made += [configuration.table(f"{dataset}: {name}", all_runs, values_of), parts.Lines([line])]
    return made


def _commands(dataset: str, found: Stored) -> list[parts.Part]:
    heading = parts.Heading("Commands that make these results again")
    if dataset not in registry.DATASETS:
        return [heading, parts.Lines([f"There are none: this version knows no dataset {dataset}."])]
    runs, grid_runs = found.runs.get(dataset, []), found.grid_runs.get(dataset, [])
    data_dirs = [run.config.get("data_dir") for run in (*runs, *grid_runs)]
    lines = [*commands.of_runs(runs), *commands.of_grid_runs(grid_runs)]
    if dataset in found.similarities:
        lines += commands.of_similarities(dataset, found.similarities[dataset], next(filter(None, data_dirs), None))
    lines.append("python -m experiments.report")
    return [
        heading,
        parts.Commands([f"{line} {shlex.quote(f'--results-dir={found.results_dir}')}" for line in lines]),
        parts.Lines(
            [
                "They do not do again what exists in --results-dir. Each does all its targets, strategies and seeds, "
                "also those that are missing on this page."
            ]
        ),
    ]
