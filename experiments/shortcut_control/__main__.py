"""Does surgery keep a network from learning what is right in one domain only? A test with an added shortcut.

    python -m experiments.shortcut_control --dataset=emoji --targets twitter windows --vectorize-seeds

A coloured square is pasted into every picture (see ``squares.py``). In each source its colour
stands for the class, in a share of the pictures: the strength of the shortcut. Every source has its
own code of colours. On the target the colour is random. If agreement rejects what is specific to a
domain, then a strategy that asks for agreement relies less on the squares. Writes
shortcut.md, shortcut.csv, shortcut.png and shortcut.pdf to RESULTS_DIR/shortcut_control/DATASET
and the runs below it.
"""

import dataclasses
import pathlib
import statistics
import sys
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from dg_jax.command_line import packages

if __name__ == "__main__":
    packages.exit_unless_installed("train", "analysis")

from dg_jax import config, errors, run
from dg_jax.command_line import flags, program
from experiments import sweep

if TYPE_CHECKING:
    from dg_jax.data import dataset
    from experiments.shortcut_control import tables


@dataclasses.dataclass(frozen=True)
class ShortcutRun(config.RunConfig):
    """A run with squares in its pictures."""

    strength: float = 0.0
    """Share of each source's pictures in which the colour is right."""

    @property
    def pictures(self) -> Hashable:
        """The pictures, with their squares."""
        return super().pictures, self.strength, self.seed


@dataclasses.dataclass(frozen=True)
class ShortcutControl(sweep.Sweep):
    """Train with a shortcut in each source that is wrong everywhere else."""

    strategies: tuple[str, ...] = ("deep_all", "agr_sum", "agr_rand", "pcgrad")
    """Which strategies."""
    strengths: tuple[float, ...] = (0.0, 0.5, 0.8, 0.9, 1.0)
    """Shares of each source's pictures in which the colour of the square is right."""


def load(one: config.RunConfig) -> "dataset.MultiDomainDataset":
    """Opens a run's dataset with the squares pasted in."""
    from experiments.shortcut_control import squares

    assert isinstance(one, ShortcutRun)
    return squares.add(run.load(one), one.target, one.strength, one.seed)


def configs(settings: ShortcutControl) -> list[ShortcutRun]:
    """Returns all runs, those of one strength together; raises a ``UserError`` if one cannot be run."""
    if not settings.strengths:
        raise errors.UserError("--strengths: give at least one number")
    if len(set(settings.strengths)) != len(settings.strengths):
        raise errors.UserError(f"--strengths names one twice: {' '.join(map(str, settings.strengths))}")
    runs = []
    for strength in settings.strengths:
        if not 0 <= strength <= 1:
            raise errors.UserError(f"--strengths {strength:g}: give shares from 0 to 1")
        below = folder_of(settings) / f"strength-{strength:g}"
        runs += [
            ShortcutRun(**vars(one), strength=strength)
            for one in sweep.configs(config.changed(settings, results_dir=below))
        ]
    return runs


def folder_of(settings: ShortcutControl) -> pathlib.Path:
    """Returns where runs, tables and figures go."""
    return settings.output.results_dir / "shortcut_control" / settings.data.dataset


def measured(runs: Sequence[ShortcutRun], results: sweep.Results) -> "tables.Measures":
    """Gathers the accuracies of the selected parameters of each run."""
    noted = sweep.watched(results)
    found: dict[str, dict[str, dict[float, dict[str, dict[int, float]]]]] = {}
    for one in runs:
        if one not in noted:
            continue
        result = results[one]
        [of_sources] = [line["watched"] for line in noted[one] if line["step"] == result["selected_step"]]
        values = {
            "target": result["test_accuracy"],
            "validation": result["val_accuracy"],
            "shortcut": statistics.fmean(of_sources.values()),
            **{f"shortcut of {source}": accuracy for source, accuracy in of_sources.items()},
        }
        for name, accuracy in values.items():
            of_strength = found.setdefault(name, {}).setdefault(one.target, {}).setdefault(one.strength, {})
            of_strength.setdefault(sweep.method_of(one), {})[one.seed] = accuracy
    return found


def make(arguments: Sequence[str]) -> None:
    """Does the runs, prints the tables and writes the files."""
    settings = flags.parse(ShortcutControl, arguments, "python -m experiments.shortcut_control")
    from experiments.shortcut_control import figure, tables

    runs = configs(settings)
    results = sweep.results(runs, vectorize_seeds=settings.vectorize_seeds, executor=settings.executor, load=load)
    measures = measured(runs, results)
    if not measures:
        raise errors.UserError(f"{folder_of(settings)}: there is no run with complete files")
    files = {
        "shortcut.md": tables.to_markdown(measures),
        "shortcut.csv": tables.to_csv(measures),
    }
    sweep.write(folder_of(settings), files, {"shortcut": figure.over_strength(measures)})
    print(files["shortcut.md"])
    results.check_failed()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0, 2 for bad input, 130 or 143 when stopped."""
    return program.main(make, sweep.TO_GO_ON, arguments)


if __name__ == "__main__":
    sys.exit(main())
