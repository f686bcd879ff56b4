"""Many runs: which there are to do, those that are missing, and what came out."""

import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import tyro
from rich import console, progress

from dg_jax import config, errors, run, settings, strategies
from dg_jax.data import registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Results = dict[str, dict[str, dict[int, dict]]]
TO_GO_ON = "the same command goes on from there"
PAPER = pathlib.Path(__file__).parent / "paper_table1.csv"


@dataclasses.dataclass(frozen=True)
class Sweep(config.RunConfig):
    """Settings of many runs: those of one, for several targets, strategies and seeds.

    What is on disk already is not done again. IRM's penalty sets in after half of the steps,
    as it does in the paper (500 of 1000), unless --irm.anneal-steps says otherwise.
    """

    strategies: tuple[str, ...] = tuple(strategies.STRATEGIES)
    """Which strategies."""
    targets: tuple[str, ...] = ()
    """The domains held out, one after the other. By default each."""
    seeds: int = 20
    """How many seeds, from 0."""
    vectorize_seeds: bool = False
    """Train all seeds of a strategy and target in one program. Pays on a GPU with a small network; no checkpoints."""
    strategy: Annotated[str, tyro.conf.Suppress] = ""
    target: Annotated[str, tyro.conf.Suppress] = ""
    seed: Annotated[int, tyro.conf.Suppress] = 0
    resume: Annotated[bool, tyro.conf.Suppress] = True


def configs(sweep: Sweep) -> list[config.RunConfig]:
    """Returns the runs of a sweep, those of one target together, and in there those of one seed.

    Raises:
        UserError: one of them cannot be run.
    """
    if sweep.seeds < 1:
        raise errors.UserError(f"--seeds={sweep.seeds}: give a whole number of at least 1")
    targets = [registry.full_name(sweep.dataset, target) for target in sweep.targets] or list(sweep.domains)
    of_run = {field.name: getattr(sweep, field.name) for field in dataclasses.fields(config.RunConfig)}
    irm = sweep.irm
    if irm == settings.Irm():
        irm = settings.Irm(anneal_steps=sweep.iterations // 2)
    all_configs = []
    for target in targets:
        for seed in range(sweep.seeds):
            for strategy in sweep.strategies:
                changes = {"strategy": strategy, "target": target, "seed": seed, "resume": not sweep.overwrite}
                one = config.RunConfig(**of_run | changes | {"irm": irm})
                in_use = {one.methods.objective, one.methods.combiner}
                unused = {name: type(getattr(one, name))() for name in settings.RANGES if name not in in_use}
                all_configs.append(dataclasses.replace(one, **unused))
    for one in all_configs:
        config.check(one)
    return all_configs


def results(all_configs: list[config.RunConfig], *, vectorize_seeds: bool = False) -> Results:
    """Does the runs that are missing and returns what ``result.json`` of each holds.

    A run whose files are damaged is named on stderr and left out.

    Returns:
        Target -> method (the name of the folder: strategy, combiner, kind of batches) -> seed
        -> result.

    Raises:
        UserError: a run on disk has other settings, or a run fails.
        Interrupted: SIGINT or SIGTERM came; the run in hand has left a checkpoint.
    """
    from dg_jax.training import record

    found: Results = {}
    missing = []
    for one in all_configs:
        folder = record.folder_of(one)
        method = folder.path.parent.name  # the strategy, with its combiner and kind of batches
        found.setdefault(one.target, {}).setdefault(method, {})
        try:
            finished = record.finished_result(one, folder)
        except record.DamagedError as error:
            print(f"warning: left out: {error}", file=sys.stderr)
            continue
        if finished is None:
            missing.append(one)
        else:
            found[one.target][method][one.seed] = finished
    with _Display(len(all_configs), len(missing)) as display:
        for batch, outcome in _side_by_side(missing) if vectorize_seeds else _one_by_one(missing):
            display.advance(batch)
            for one, result in zip(batch, outcome, strict=True):
                found[one.target][record.folder_of(one).path.parent.name][one.seed] = result
    return found


def accuracies(results: Results, which: str) -> dict[str, dict[str, dict[int, float]]]:
    """Returns one figure of each result, such as ``"test_accuracy"``: target -> method -> seed -> accuracy."""
    return {
        target: {method: {seed: result[which] for seed, result in seeds.items()} for method, seeds in methods.items()}
        for target, methods in results.items()
    }


def write(folder: pathlib.Path, texts: Mapping[str, str], pictures: "Mapping[str, Figure]") -> None:
    """Writes tables as they are named and figures as PNG and PDF, and says on stderr where.

    Raises:
        UserError: they cannot be written.
    """
    from dg_jax.analysis import figures

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text)
    except OSError as error:
        raise errors.UserError(
            f"cannot write {error.filename}: {error.strerror}; give another --results-dir"
        ) from error
    for name, figure in pictures.items():
        for ending in (".png", ".pdf"):
            figures.save(figure, folder / f"{name}{ending}")
    print(
        f"written to {folder}: {', '.join([*texts, *(f'{name}.png, {name}.pdf' for name in pictures)])}",
        file=sys.stderr,
    )


def _one_by_one(missing: list[config.RunConfig]) -> Iterator[tuple[list[config.RunConfig], list[dict]]]:
    data, opened = None, None
    for one in missing:
        # Strategies of one target and seed share their pictures.
        like = dataclasses.replace(one, strategy="", combiner=None)
        if like != opened:
            data, opened = run.load(one), like
        yield [one], [run.run(one, data, quiet=True)]


def _side_by_side(missing: list[config.RunConfig]) -> Iterator[tuple[list[config.RunConfig], list[dict]]]:
    groups: dict[config.RunConfig, list[config.RunConfig]] = {}
    for one in missing:
        groups.setdefault(dataclasses.replace(one, seed=0), []).append(one)
    prepared: dict[int, tuple] = {}  # by seed: dataset and network, which the strategies of a target share
    opened = None
    for like, group in groups.items():
        if opened != like.target:
            prepared, opened = {}, like.target
        for one in group:
            if one.seed not in prepared:
                data = run.load(one)
                prepared[one.seed] = data, run.create_network(one, data)
        data_of_seeds, networks = zip(*(prepared[one.seed] for one in group), strict=True)
        yield group, run.run_seeds(group, data_of_seeds, networks)


class _Display(contextlib.AbstractContextManager):
    """Shows how many runs are done and how long the rest will take."""

    def __init__(self, total: int, missing: int):
        terminal = console.Console(stderr=True)
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=20),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(elapsed_when_finished=False),
            console=terminal,
            disable=not terminal.is_terminal or not missing,
        )
        self._task = self._bar.add_task(f"runs ({total - missing} were there)", total=missing)

    def __enter__(self) -> "_Display":
        self._bar.start()
        return self

    def __exit__(self, *unused) -> None:
        self._bar.stop()

    def advance(self, done: list[config.RunConfig]) -> None:
        """Counts finished runs."""
        one = done[-1]
        self._bar.update(self._task, advance=len(done), description=f"{one.target}, {one.strategy}, seed {one.seed}")
