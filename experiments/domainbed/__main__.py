"""DomainBed's protocol on digits: random search, three rules of selection, tables beside its own.

    python -m experiments.domainbed --data-dir=mnist --dataset=rotated_mnist --dry-run
    python -m experiments.domainbed --data-dir=mnist --strategies deep_all agr_sum --trials=1 --compare-published
    python -m experiments.domainbed --recompute=experiments/results/domainbed/colored_mnist.jsonl

Writes DATASET.md (the tables), DATASET.csv (what each rule selected, cell by cell) and DATASET.jsonl (what every run
noted) to RESULTS_DIR/domainbed, and the runs below it. --recompute makes the first two again, beside the third.
"""

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Sequence

from dg_jax.command_line import packages

if __name__ == "__main__":
    packages.exit_unless_installed("train", "analysis")

from dg_jax import config, errors, run
from dg_jax.command_line import flags, program
from dg_jax.data import registry
from dg_jax.reading import paths
from experiments import local_executor, sweep
from experiments.domainbed import runs


@dataclasses.dataclass(frozen=True)
class DomainBed(runs.Search):
    """Compare strategies on ColoredMNIST or RotatedMNIST by DomainBed's protocol."""

    compare_published: bool = False
    """Also put DomainBed's own tables beside ours."""
    dry_run: bool = False
    """Only say how many runs there are, and about how long they take."""
    recompute: pathlib.Path | None = None
    """Make the .md and .csv file again beside this .jsonl file, without a run."""


def make(arguments: Sequence[str]) -> None:
    """Does the runs that are missing, prints the tables and writes the files."""
    is_named = any(one.startswith("--dataset") for one in arguments)
    given = [*([] if is_named else [f"--dataset={runs.DATASETS[0]}"]), *arguments]
    settings = flags.parse(DomainBed, given, "python -m experiments.domainbed")
    results = sweep.Results()
    from experiments.domainbed import records, tables

    if settings.compare_published and set(settings.data.domains) != set(registry.get(settings.data.dataset).domains):
        raise errors.UserError("--compare-published: DomainBed's tables are of all domains; leave --domains out")
    if settings.recompute is not None:
        check_alone(settings)
        path = paths.expanded(settings.recompute, "--recompute")
        found, folder, name = records.read(path), path.parent, path.stem
    else:
        planned = runs.plan(settings)
        if settings.dry_run:
            print(described(settings, planned))
            return
        results = sweep.results(
            [one.run for one in planned],
            vectorize_seeds=settings.side_by_side,
            executor=settings.executor,
            load=runs.loader(planned),
            alike=runs.alike,
        )
        noted = sweep.watched(results)
        found = [
            records.of_run(one, sweep.method_of(one.run), results[one.run], noted[one.run])
            for one in planned
            if one.run in noted
        ]
        folder, name = runs.folder_of(settings), settings.data.dataset
        if not found:
            raise errors.UserError(f"no run in {folder} can be read; --overwrite does them again")
    markdown = tables.to_markdown(found, settings.rules, beside_published=settings.compare_published)
    files = {f"{name}.md": markdown, f"{name}.csv": tables.to_csv(found, settings.rules)}
    if settings.recompute is None:
        files[f"{name}.jsonl"] = records.to_lines(found)
    sweep.write(folder, files, {})
    print(markdown)
    results.check_failed()


def check_alone(settings: DomainBed) -> None:
    """Raises a ``UserError`` if something is given beside ``--recompute`` that would be without effect."""
    usual = config.flat(flags.parse(DomainBed, [f"--dataset={settings.data.dataset}"], "usual"))
    for name, value in config.flat(settings).items():
        if name not in ("dataset", "recompute", "rules", "compare_published") and value != usual[name]:
            raise errors.UserError(f"{config.flag(name)} would change nothing beside --recompute; leave it out")


def described(settings: DomainBed, planned: Sequence[runs.Planned]) -> str:
    """Returns what a search will do: how many runs, and about how long."""
    from dg_jax.data import idx
    from dg_jax.training import run_folder, run_result
    from experiments.domainbed import estimate

    def is_done(one: config.RunConfig) -> bool:
        identify = functools.partial(run.identify, one)
        return run_result.finished(one, run_folder.folder_of(one), identify) is not None

    missing = [one for one in planned if not is_done(one.run)]
    groups = local_executor.groups([one.run for one in missing], runs.alike)
    assert settings.data.data_dir is not None
    num_images = len(idx.read(settings.data.data_dir).label)
    hours = estimate.seconds(missing, num_images, *estimate.seconds_per_image(planned[0].run)) / 3600
    pairs = sum(len(one.held_out) == 2 for one in planned)
    lines = (
        f"{settings.data.dataset}: {len(planned)} runs, {len(planned) - len(missing)} of them done; "
        f"{pairs} without a pair of domains, for leave_one_out",
        f"{len(groups)} groups of runs that --side-by-side trains in one program, each compiled once",
        f"about {hours:.1f} hours on this device one after the other, compilation apart",
    )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0, 2 for bad input, 130 or 143 when stopped."""
    return program.main(make, sweep.TO_GO_ON, arguments)


if __name__ == "__main__":
    sys.exit(main())
