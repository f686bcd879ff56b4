"""Many runs: which there are to do, those that are missing, and what came out."""

import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, TypeVar

import tyro
from rich import console, progress

from dg_jax import command_line, config, errors, run, settings, strategies
from dg_jax.data import registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dg_jax.data import dataset

Results = dict[config.RunConfig, dict]
TO_GO_ON = "the same command goes on from there (leave out --overwrite)"
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


SweepKind = TypeVar("SweepKind", bound=Sweep)


def parse(kind: type[SweepKind], arguments: Sequence[str], prog: str) -> SweepKind:
    """Reads flags, see :func:`dg_jax.command_line.parse`, and sets IRM's annealing where they do not."""
    sweep = command_line.parse(kind, arguments, prog)
    is_set = any(argument.replace("_", "-").startswith("--irm.anneal-steps") for argument in arguments)
    if is_set or "irm" not in sweep.strategies:
        return sweep
    return dataclasses.replace(sweep, irm=dataclasses.replace(sweep.irm, anneal_steps=sweep.iterations // 2))


def configs(sweep: Sweep) -> list[config.RunConfig]:
    """Returns the runs of a sweep, those of one target together, and in there those of one seed.

    Raises:
        UserError: one of them cannot be run.
    """
    if sweep.seeds < 1:
        raise errors.UserError(f"--seeds={sweep.seeds}: give a whole number of at least 1")
    targets = [registry.full_name(sweep.dataset, target) for target in sweep.targets] or list(sweep.domains)
    for name, given in (("--strategies", sweep.strategies), ("--targets", targets)):
        if not given:
            raise errors.UserError(f"{name}: name at least one")
        if len(set(given)) != len(given):
            raise errors.UserError(f"{name} names one twice: {' '.join(given)}")
    of_run = {field.name: getattr(sweep, field.name) for field in dataclasses.fields(config.RunConfig)}
    all_configs: list[config.RunConfig] = []
    all_in_use: set[str] = set()
    for target in targets:
        for seed in range(sweep.seeds):
            for strategy in sweep.strategies:
                changes = {"strategy": strategy, "target": target, "seed": seed, "resume": not sweep.overwrite}
                one = config.RunConfig(**of_run | changes)
                in_use = {one.methods.objective, one.methods.combiner}
                unused = {name: type(getattr(one, name))() for name in settings.RANGES if name not in in_use}
                all_configs.append(dataclasses.replace(one, **unused))
                all_in_use |= in_use
    for name in settings.RANGES:
        if name not in all_in_use and getattr(sweep, name) != type(getattr(sweep, name))():
            raise errors.UserError(f"{config.flag(name)} is set, but none of --strategies uses it; leave it out")
    for one in all_configs:
        config.check(one)
    return all_configs


def results(all_configs: list[config.RunConfig], *, vectorize_seeds: bool = False) -> Results:
    """Does the runs that are missing and returns what ``result.json`` of each holds.

    A run whose files are damaged is named on stderr and left out.

    Returns:
        Run -> result.

    Raises:
        UserError: a run on disk has other settings, or a run fails.
        Interrupted: SIGINT or SIGTERM came; the run in hand has left a checkpoint.
    """
    from dg_jax.training import record

    found: Results = {}
    missing = []
    for one in all_configs:
        try:
            finished = record.finished_result(one, record.folder_of(one))
        except record.DamagedError as error:
            errors.warn(f"left out: {error}")
            continue
        if finished is None:
            missing.append(one)
        else:
            found[one] = finished
    with _Display(len(all_configs), len(missing)) as display:
        for batch, outcome in _side_by_side(missing) if vectorize_seeds else _one_by_one(missing):
            display.advance(batch)
            found.update(zip(batch, outcome, strict=True))
    return found


def accuracies(
    all_configs: list[config.RunConfig], results: Results, which: str
) -> dict[str, dict[str, dict[int, float]]]:
    """Returns one figure of the results of some runs, such as ``"test_accuracy"``.

    Returns:
        Target -> method (the name of the folder: strategy, combiner, kind of batches) -> seed
        -> accuracy. Methods whose runs have all been left out are there, without seeds.
    """
    from dg_jax.training import record

    found: dict[str, dict[str, dict[int, float]]] = {}
    for one in all_configs:
        of_method = found.setdefault(one.target, {}).setdefault(record.folder_of(one).path.parent.name, {})
        if one in results:
            of_method[one.seed] = results[one][which]
    return found


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
    from dg_jax.training import record

    data, opened = None, None
    kept: dict[str, dataset.Part] = {}
    for one in missing:
        # Strategies of one target and seed share their pictures.
        like = (one.target, one.seed, one.batches)
        try:
            if like != opened:
                data, opened = run.load(one, kept), like
            outcome = run.run(one, data, quiet=True)
        except errors.UserError as error:
            raise errors.UserError(f"{record.folder_of(one).path}: {error}") from error
        yield [one], [outcome]


def _side_by_side(missing: list[config.RunConfig]) -> Iterator[tuple[list[config.RunConfig], list[dict]]]:
    groups: dict[config.RunConfig, list[config.RunConfig]] = {}
    for one in missing:
        groups.setdefault(dataclasses.replace(one, seed=0), []).append(one)
    prepared: dict[int, tuple] = {}  # by seed: dataset and network, which the strategies of a target share
    opened = None
    kept: dict[str, dataset.Part] = {}
    for like, group in groups.items():
        if opened != like.target:
            prepared, opened = {}, like.target
        for one in group:
            if one.seed not in prepared:
                data = run.load(one, kept)
                prepared[one.seed] = data, run.create_network(one, data)
        data_of_seeds, networks = zip(*(prepared[one.seed] for one in group), strict=True)
        yield group, run.run_seeds(group, data_of_seeds, networks)


class _Display(contextlib.AbstractContextManager):
    """Shows how many runs are done and how long the rest will take."""

    def __init__(self, total: int, missing: int):
        terminal = console.Console(stderr=True)
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
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
        description = errors.printable(f"{one.target}, {one.strategy}, seed {one.seed}")
        self._bar.update(self._task, advance=len(done), description=description)
