"""Spirals: a task with a known answer, and with shortcuts that only agreement between environments reveals.

    python -m experiments.spirals --vectorize-seeds
    python -m experiments.spirals --vectorize-seeds --scan=environments --values 2 4 8 12 16
    python -m experiments.spirals --regions

The points are those of ``--dataset=spirals``, see :mod:`dg_jax.data.spirals`. In each environment for training, a
shortcut is perfect. In the test it says nothing. A scan trains with several values of one setting. Writes spirals.md,
spirals.csv and figures to RESULTS_DIR/spirals/SCAN and the runs below it.
"""

import dataclasses
import sys
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Literal

from dg_jax.command_line import packages

if __name__ == "__main__":
    packages.exit_unless_installed("train", "analysis")

from dg_jax import config, errors, run
from dg_jax.command_line import flags, program
from experiments import sweep

if TYPE_CHECKING:
    import pathlib

    from dg_jax.data import dataset
    from experiments.spirals import tables


@dataclasses.dataclass(frozen=True)
class SpiralsRun(config.RunConfig):
    """A run on spirals of some turns."""

    turns: float = 1.0
    """Turns of the spiral."""
    shortcut_weights: float = 1.0
    """What the first layer's weights of the shortcuts are multiplied by before the first step."""

    @property
    def pictures(self) -> Hashable:
        """The points."""
        return super().pictures, self.turns

    @property
    def first_parameters(self) -> Hashable:
        """What the network begins with."""
        return super().first_parameters, self.shortcut_weights


@dataclasses.dataclass(frozen=True)
class Spirals(sweep.Sweep):
    """Train on environments with a shortcut each, and test where it says nothing."""

    strategies: tuple[str, ...] = ("deep_all", "agr_sum", "agr_rand", "pcgrad", "and_mask")
    """Which strategies."""
    scan: Literal[
        "none",
        "environments",
        "turns",
        "learning_rate",
        "weight_decay",
        "batch_size",
        "hidden_layers",
        "shortcut_weights",
    ] = "none"
    """Which setting to scan; shortcut_weights is a factor on the first layer's weights of the shortcuts before the
    first step."""
    values: tuple[float, ...] = ()
    """The values of that setting."""
    regions: bool = False
    """Instead, draw which class Deep-All and Agr-Sum predict at which point, for the first seed."""


def load(one: config.RunConfig) -> "dataset.MultiDomainDataset":
    """Draws a run's points."""
    from dg_jax.data import spirals

    assert isinstance(one, SpiralsRun)
    parts = {domain: ("test",) if domain == one.target else ("train", "validation") for domain in one.data.domains}
    data = spirals.load(parts, one.data.of_seed(one.seed).split_seed or 0, one.turns)
    run.check_batch_size(one, data)
    return data


def create(one: config.RunConfig, data: "dataset.MultiDomainDataset") -> tuple:
    """Makes a run's network, with the first layer's weights of the shortcuts multiplied."""
    from dg_jax.data import spirals

    assert isinstance(one, SpiralsRun)
    params, apply_fn = run.create_network(one, data)
    kernel = params["dense1"]["kernel"]
    params["dense1"]["kernel"] = kernel.at[-spirals.SHORTCUTS :].multiply(one.shortcut_weights)
    return params, apply_fn


def configs(settings: Spirals) -> list[tuple[float, list[SpiralsRun]]]:
    """Returns the runs of each value of the scan; without a scan the value is 0.

    Raises:
        UserError: a run cannot be done, or values and scan do not go together.
    """
    if settings.data.dataset != "spirals":
        raise errors.UserError(f"--dataset={settings.data.dataset}: this experiment is on spirals; leave it out")
    if (settings.scan == "none") != (not settings.values):
        raise errors.UserError("--scan and --values need each other; give both or none")
    if not all(0 <= value <= 1e6 for value in settings.values):
        raise errors.UserError(f"--values {' '.join(map(str, settings.values))}: give numbers from 0 to 1000000")
    if len({f"{value:g}" for value in settings.values}) != len(settings.values):  # the names of their folders
        raise errors.UserError(f"--values names one twice, in six digits: {' '.join(map(str, settings.values))}")
    usual = config.flat(config.defaults("spirals", settings.preset))
    if settings.scan in usual and config.flat(settings)[settings.scan] != usual[settings.scan]:
        raise errors.UserError(f"{config.flag(settings.scan)} is what --scan={settings.scan} changes; leave it out")
    runs = []
    for value in settings.values or (0.0,):
        below = folder_of(settings) / (f"{settings.scan}-{value:g}" if settings.values else "runs")
        one = config.changed(settings, results_dir=below, targets=("random",))
        turns = value if settings.scan == "turns" else 1.0
        factor = value if settings.scan == "shortcut_weights" else 1.0
        if settings.scan in ("environments", "batch_size", "hidden_layers"):
            known = len(settings.data.domains) - 1 if settings.scan == "environments" else sys.maxsize
            if value != int(value) or not 1 <= value <= known:
                at_most = f", at most the {known} environments" if settings.scan == "environments" else ""
                raise errors.UserError(f"--values {value:g}: give whole numbers of at least 1{at_most}")
        if settings.scan == "environments":
            one = config.changed(one, domains=(*settings.data.domains[: int(value)], "random"))
        elif settings.scan in ("batch_size", "hidden_layers"):
            one = config.changed(one, **{settings.scan: int(value)})
        elif settings.scan in ("learning_rate", "weight_decay"):
            one = config.changed(one, **{settings.scan: value})
        elif settings.scan == "turns" and value == 0:
            raise errors.UserError("--values 0: give turns above 0")
        of_value = [SpiralsRun(**vars(each), turns=turns, shortcut_weights=factor) for each in sweep.configs(one)]
        runs.append((value, of_value))
    return runs


def folder_of(settings: Spirals) -> "pathlib.Path":
    """Returns where runs, tables and figures go."""
    return settings.output.results_dir / "spirals" / settings.scan


def measured(runs: Sequence[tuple[float, list[SpiralsRun]]], results: sweep.Results) -> "list[tables.Measured]":
    """Gathers the results of the runs."""
    from dg_jax.training import metrics_file, run_folder
    from experiments.spirals import tables

    found = []
    for value, of_value in runs:
        for one in of_value:
            if one not in results:
                continue
            noted = metrics_file.validations(run_folder.folder_of(one).metrics_file)
            agreement = [(line["step"], line["agreement"]) for line in noted if "agreement" in line]
            result = results[one]
            found.append(
                tables.Measured(
                    value,
                    sweep.method_of(one),
                    one.seed,
                    result["val_accuracy"],
                    result["test_accuracy"],
                    result["test_accuracy_last"],
                    tuple(agreement),
                )
            )
    return found


def draw_regions(settings: Spirals) -> None:
    """Trains the first seed of Deep-All and of Agr-Sum, each by itself, and draws their regions."""
    from dg_jax import predict
    from dg_jax.data import dataset
    from dg_jax.training import run_folder
    from experiments.spirals import figure

    if settings.values or settings.vectorize_seeds:
        raise errors.UserError("--regions is one picture of two runs; leave --scan, --values and --vectorize-seeds out")
    two = dataclasses.replace(settings, strategies=("deep_all", "agr_sum"), seeds=1)
    [(_, runs)] = configs(config.changed(two, results_dir=settings.output.results_dir / "spirals" / "regions"))
    sweep.results(runs, executor=settings.executor, load=load).check_failed()
    networks = {one.strategy: predict.load(run_folder.folder_of(one).path) for one in runs}
    folder = settings.output.results_dir / "spirals"
    test = load(runs[0]).domains["random"]["test"]
    assert not isinstance(test, dataset.StoredPart)
    sweep.write(folder, {}, {"regions": figure.regions(networks, test)})


def make(arguments: Sequence[str]) -> None:
    """Does the runs, prints the table and writes the files."""
    given = [*([] if any(one.startswith("--dataset") for one in arguments) else ["--dataset=spirals"]), *arguments]
    settings = flags.parse(Spirals, given, "python -m experiments.spirals")
    from experiments.spirals import figure, tables

    if settings.regions:
        draw_regions(settings)
        return
    runs = configs(settings)
    every = [one for _, of_value in runs for one in of_value]
    results = sweep.results(
        every, vectorize_seeds=settings.vectorize_seeds, executor=settings.executor, load=load, create=create
    )
    found = measured(runs, results)
    if not found:
        raise errors.UserError(f"{folder_of(settings)}: there is no run with complete files")
    files = {"spirals.md": tables.to_markdown(found, settings.scan), "spirals.csv": tables.to_csv(found, settings.scan)}
    drawn = {"agreement": figure.agreement(found, settings.scan)} if any(one.agreement for one in found) else {}
    if settings.values:
        drawn["scan"] = figure.over_values(found, settings.scan)
    sweep.write(folder_of(settings), files, drawn)
    print(files["spirals.md"])
    results.check_failed()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0, 2 for bad input, 130 or 143 when stopped."""
    return program.main(make, sweep.TO_GO_ON, arguments)


if __name__ == "__main__":
    sys.exit(main())
