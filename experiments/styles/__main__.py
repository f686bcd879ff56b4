"""Does surgery help on a drawing style that was never seen? The studies that docs/does-it-work.md registered.

    python -m experiments.styles --data-dir=emoji-styles
    python -m experiments.styles --recompute=experiments/results/styles/validations.csv

Fine-tunes SqueezeNet from ImageNet weights and notes the accuracy on the target at each validation, only to show it.
Compares strategies in two ways: as selected by validation, and at equal validation. Writes to RESULTS_DIR/styles
validations.csv, styles.md and two figures for each study, accuracy over training and box plots as in the paper's
Figure 3, and the runs below it. Needs the extras emoji, pretrained and analysis.
"""

import dataclasses
import itertools
import pathlib
import sys
from collections.abc import Sequence

from dg_jax.command_line import packages

if __name__ == "__main__":
    packages.exit_unless_installed("train", "analysis")

from dg_jax import errors
from dg_jax.command_line import flags, program
from dg_jax.reading import paths
from experiments import sweep
from experiments.styles import studies


@dataclasses.dataclass(frozen=True)
class Styles(sweep.Plan):
    """Compare strategies on emoji in different styles, as registered."""

    studies: tuple[str, ...] = tuple(studies.STUDIES)
    """Which of the registered studies; by default all, which takes hours."""
    recompute: pathlib.Path | None = None
    """Make tables and figures again from this validations.csv, without a run."""


def make(arguments: Sequence[str]) -> None:
    """Does the runs that are missing, prints the tables and writes the files."""
    given = [*([] if any(one.startswith("--dataset") for one in arguments) else ["--dataset=styles"]), *arguments]
    settings: Styles = flags.parse(Styles, given, "python -m experiments.styles")
    from experiments.finetune import __main__ as finetune
    from experiments.finetune import figure
    from experiments.styles import stored, tables

    if settings.data.dataset != "styles":
        raise errors.UserError(f"--dataset={settings.data.dataset}: this experiment is on styles; leave it out")
    unknown = [name for name in settings.studies if name not in studies.STUDIES]
    if unknown or not settings.studies:
        raise errors.UserError(f"--studies {' '.join(unknown)}: there are: {', '.join(studies.STUDIES)}")
    results = sweep.Results()
    if settings.recompute is not None:
        every_study = stored.read(paths.expanded(settings.recompute, "--recompute"))
        found = {name: histories for name, histories in every_study.items() if name in settings.studies}
        if not found:
            raise errors.UserError(f"--studies {' '.join(settings.studies)}: {settings.recompute} has none of them")
    else:
        of_study = {name: studies.runs(name, settings) for name in settings.studies}
        every = [*dict.fromkeys(itertools.chain(*of_study.values()))]  # a run may be in two studies
        results = sweep.results(every, executor=settings.executor, load=finetune.load)
        noted = sweep.watched(results)
        found = {name: finetune.histories(runs, noted) for name, runs in of_study.items()}
    text = "\n".join(f"## {name}\n\n{tables.to_markdown(histories)}" for name, histories in found.items())
    drawn = {name: figure.over_training(histories) for name, histories in found.items()}
    drawn |= {f"{name}-figure3": tables.box_plots(histories) for name, histories in found.items()}
    if {"three", "single_domain"} <= found.keys():
        drawn["figure4"] = tables.figure_4(found["three"], found["single_domain"])
    files = {"styles.md": text, "validations.csv": stored.to_csv(found)}
    sweep.write(settings.output.results_dir / "styles", files, drawn)
    print(text)
    results.check_failed()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0, 2 for bad input, 130 or 143 when stopped."""
    return program.main(make, sweep.TO_GO_ON, arguments)


if __name__ == "__main__":
    sys.exit(main())
