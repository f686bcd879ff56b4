"""Many runs: lists them, does those that are missing, and gathers their results."""

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from dg_jax import config, errors, run, strategies
from dg_jax.config import ranges
from dg_jax.data import progress_bar, registry
from experiments import local_executor, pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure


TO_GO_ON = "the same command goes on from there (leave out --overwrite)"


class Results(dict[config.RunConfig, dict]):
    """Run -> what its ``result.json`` holds.

    Attributes:
        failed: run -> why it failed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failed: dict[config.RunConfig, str] = {}

    def check_failed(self) -> None:
        """Raises a ``SomeFailedError`` that names the failed runs. Call it last, when all else is written."""
        from dg_jax.training import run_folder

        if self.failed:
            raise errors.SomeFailedError({str(run_folder.folder_of(one).path): why for one, why in self.failed.items()})


@dataclasses.dataclass(frozen=True)
class Plan(config.Parts):
    """Many runs: the parts that they share, and how many of them. What is on disk already is not done again."""

    targets: tuple[str, ...] = ()
    """The domains held out, one after the other. By default all."""
    seeds: int = 20
    """How many seeds, from 0."""
    executor: Literal["local", "ray"] = "local"
    """Where the runs are done: one after the other in this process, or side by side as tasks of Ray."""


@dataclasses.dataclass(frozen=True)
class Comparison(Plan):
    """Many runs, of several strategies."""

    strategies: tuple[str, ...] = strategies.PAPER
    """Which strategies; by default the paper's eight."""
    vectorize_seeds: bool = False
    """Train all seeds of a strategy and target in one program. Faster on a GPU with a small network; no checkpoints."""


@dataclasses.dataclass(frozen=True)
class Sweep(Comparison):
    """Many runs, of several strategies at one learning rate."""

    rates: Annotated[config.Rates, config.FLAT] = dataclasses.field(default_factory=config.Rates)


def configs(sweep: Sweep) -> list[config.RunConfig]:
    """Returns the runs of a sweep, see :func:`configs_at`."""
    return configs_at(sweep, sweep.strategies, sweep.rates, vectorize_seeds=sweep.vectorize_seeds)


def configs_at(
    plan: Plan, names: Sequence[str], rates: config.Rates, *, vectorize_seeds: bool = False
) -> list[config.RunConfig]:
    """Returns the runs of a plan, by target and then by seed.

    Args:
        plan: their common settings, targets and seeds.
        names: the strategies.
        rates: learning rate and weight decay.
        vectorize_seeds: whether runs that differ only in their seeds will be done side by side.

    Raises:
        UserError: one of them cannot be run.
    """
    if plan.seeds < 1:
        raise errors.UserError(f"--seeds={plan.seeds}: give a whole number of at least 1")
    full_name = functools.partial(registry.full_name, plan.data.dataset, data_dir=plan.data.data_dir)
    targets = [full_name(target) for target in plan.targets] or list(plan.data.domains)
    methods = [strategies.full_name(name) for name in names]
    for name, given in (("--strategies", methods), ("--targets", targets)):
        if not given:
            raise errors.UserError(f"{name}: name at least one")
        if len(set(given)) != len(given):
            raise errors.UserError(f"{name} names one twice: {' '.join(given)}")
    usual = config.defaults(plan.data.dataset, plan.preset).method
    parts = {field.name: getattr(plan, field.name) for field in dataclasses.fields(config.Parts)}
    all_configs: list[config.RunConfig] = []
    all_in_use: set[str] = set()
    for target in targets:
        for seed in range(plan.seeds):
            for strategy in methods:
                one = config.RunConfig(
                    **parts, rates=rates, strategy=strategy, target=target, seed=seed, resume=not plan.output.overwrite
                )
                in_use = {one.methods.objective, one.methods.combiner}
                unused = {name: getattr(usual, name) for name in ranges.OF_METHODS if name not in in_use}
                for annealed in in_use.intersection(strategies.ANNEALED):  # same for all seeds, also if resumed
                    group = getattr(one.method, annealed)
                    unused[annealed] = dataclasses.replace(group, **one.method_settings(annealed))
                all_configs.append(config.changed(one, **unused))
                all_in_use |= in_use
    network = plan.network
    if vectorize_seeds and network.model in config.OF_BATCH_NORM and all_configs[0].weights_file != network.weights:
        raise errors.UserError(
            f"--vectorize-seeds takes the BatchNorm statistics of --model={network.model} from one file for all seeds; "
            "leave it out, or leave {seed} out of --weights"
        )
    check_in_use(plan, all_in_use)
    for one in all_configs:
        config.check(one)
    return all_configs


def check_in_use(plan: config.Parts, in_use: set[str]) -> None:
    """Raises a ``UserError`` if a setting is given of a method that is not among those in use."""
    usual = config.defaults(plan.data.dataset, plan.preset).method
    for name in ranges.OF_METHODS:
        if name not in in_use and getattr(plan.method, name) != getattr(usual, name):
            raise errors.UserError(f"{config.flag(name)} is set, but none of --strategies uses it; leave it out")


def results(
    all_configs: Sequence[config.RunConfig],
    *,
    vectorize_seeds: bool = False,
    executor: str = "local",
    load: local_executor.Load | None = None,
    create: local_executor.Create | None = None,
    alike: local_executor.Alike = local_executor.apart_from_seed,
) -> Results:
    """Does the runs that are missing and returns what ``result.json`` of each holds.

    A run whose files are damaged is named on stderr and left out. A run that fails does not
    stop the others.

    Args:
        all_configs: the runs.
        vectorize_seeds: whether runs that are alike are done side by side.
        load: opens the dataset of a run, instead of :func:`dg_jax.run.load`.
        create: makes its network with the first parameters, instead of :func:`dg_jax.run.create_network`.
        alike: equal for runs that are alike; by default for those that differ in their seeds only.

    Returns:
        The results, with the runs that failed.

    Raises:
        UserError: a run on disk has other settings or inputs, the dataset or the weights cannot be
            opened, every run has failed, or Ray is wanted and missing.
        Interrupted: SIGINT or SIGTERM came; the current run has left a checkpoint.
    """
    from dg_jax.training import files, run_folder, run_result

    do = functools.partial(local_executor.one_by_one, load=load or run.load, create=create)
    if vectorize_seeds:
        create = create or run.create_network
        do = functools.partial(local_executor.side_by_side, load=load or run.load, create=create, alike=alike)
    if executor == "ray":
        from experiments import ray_executor  # fails now if Ray is missing

    found = Results()
    missing = []
    identify_pictures = functools.cache(run.identify_pictures)
    for one in all_configs:

        def identify(one: config.RunConfig = one) -> dict[str, str]:
            return {**identify_pictures(one.data, one.target), **run.identify_weights(one)}

        try:
            finished = run_result.finished(one, run_folder.folder_of(one), identify)
        except files.DamagedError as error:
            errors.warn(f"left out: {error}")
            continue
        if finished is None:
            missing.append(one)
        else:
            found[one] = finished
    there = len(all_configs) - len(missing)
    with progress_bar.ProgressBar(f"runs ({there} were there)" if there else "runs", len(missing)) as bar:
        if executor == "ray":
            batches = local_executor.groups(missing, alike) if vectorize_seeds else [[one] for one in missing]
            outcomes = ray_executor.outcomes(do, batches)
        else:
            outcomes = do(missing)
        for batch, outcome in outcomes:
            bar.advance(len(batch), f"{batch[-1].target}, {batch[-1].strategy}, seed {batch[-1].seed}")
            if isinstance(outcome, str):
                found.failed.update(dict.fromkeys(batch, outcome))
            else:
                found.update(zip(batch, outcome, strict=True))
    if not found:
        found.check_failed()
    return found


def watched(results: Iterable[config.RunConfig]) -> dict[config.RunConfig, list[dict]]:
    """Returns what runs noted at each validation, see :func:`dg_jax.training.metrics_file.watched`.

    A run whose file is damaged is named on stderr and left out.
    """
    from dg_jax.training import files, metrics_file, run_folder

    found = {}
    for one in results:
        try:
            found[one] = metrics_file.watched(run_folder.folder_of(one).metrics_file)
        except files.DamagedError as error:
            print(f"warning: left out: {error}", file=sys.stderr)
    return found


def method_of(one: config.RunConfig) -> str:
    """Returns the name of the folder of a run's method: strategy, combiner, kind of batches."""
    from dg_jax.training import run_folder

    return run_folder.folder_of(one).path.parent.name


def accuracies(
    all_configs: list[config.RunConfig], results: Mapping[config.RunConfig, dict], which: str
) -> dict[str, dict[str, dict[int, float]]]:
    """Returns one number of the results of each run, such as ``"test_accuracy"``.

    Returns:
        Target -> method, see :func:`method_of` -> seed -> accuracy. Methods without any result are
        there, without seeds.
    """
    found: dict[str, dict[str, dict[int, float]]] = {}
    for one in all_configs:
        of_method = found.setdefault(one.target, {}).setdefault(method_of(one), {})
        if one in results:
            of_method[one.seed] = results[one][which]
    return found


def write(folder: pathlib.Path, texts: Mapping[str, str], figures: "Mapping[str, Figure]") -> None:
    """Writes tables under their names and figures as PNG and PDF, and prints on stderr where.

    Raises:
        UserError: they cannot be written.
    """
    from dg_jax.training import files

    with files.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            files.write_by_rename(folder / name, text)
    for name, figure in figures.items():
        for ending in (".png", ".pdf"):
            pictures.save(figure, folder / f"{name}{ending}")
    print(
        f"written to {folder}: {', '.join([*texts, *(f'{name}.png, {name}.pdf' for name in figures)])}",
        file=sys.stderr,
    )
