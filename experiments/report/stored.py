"""What is in a results directory: finished runs, those of grid searches, and measurements of gradient similarity."""

import collections
import dataclasses
import pathlib
import re
import sys

from dg_jax import errors, strategies
from dg_jax.training import compared, run_folder, run_result
from experiments.gradient_similarity import stored as measurements

_SEED_FILE = re.compile(r"seed-(\d+)\.json")


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: where it is.
        config: what ``config.json`` holds, of any version.
        result: what ``result.json`` holds.
    """

    folder: run_folder.RunFolder
    config: dict
    result: dict

    @property
    def target(self) -> str:
        return self.config["target"]

    @property
    def method(self) -> str:
        """The name of its folder without the kind of batches: strategy, and combiner if it is not its own."""
        return self.folder_name.removesuffix("-single_domain") if self.is_single_domain else self.folder_name

    @property
    def folder_name(self) -> str:
        return self.folder.path.parent.name

    @property
    def seed(self) -> int:
        return self.config["seed"]

    @property
    def method_place(self) -> tuple[int, str]:
        """The sort key of methods: in the order of the strategies, unknown ones last."""
        known, strategy = list(strategies.STRATEGIES), self.config["strategy"]
        return known.index(strategy) if strategy in known else len(known), self.method

    @property
    def is_single_domain(self) -> bool:
        """Whether its steps took batches of one source each."""
        return self.config["batches"] == "single_domain"


@dataclasses.dataclass
class Stored:
    """All that was found, by dataset.

    Attributes:
        runs: finished ones, in the order of targets, strategies and seeds.
        grid_runs: those below ``grid_search``.
        similarities: target -> seed -> measurements, all of a target with the same settings.
        unfinished: folders of runs that have no result yet.
        results_dir: the directory that was read.
        left_out: a line for each thing that could not be read, or is from other pictures or weights than the rest.
        contents: dataset, name and path of an input -> its SHA-256, and the first result that has it.
    """

    runs: dict[str, list[Run]]
    grid_runs: dict[str, list[Run]]
    similarities: dict[str, dict[str, dict[int, dict]]]
    unfinished: list[pathlib.Path]
    left_out: list[str]
    results_dir: pathlib.Path
    contents: dict[tuple, tuple[str, pathlib.Path]] = dataclasses.field(default_factory=dict)

    @property
    def datasets(self) -> list[str]:
        return sorted(self.runs.keys() | self.grid_runs.keys() | self.similarities.keys())

    def leave_out(self, reason: object) -> None:
        """Keeps the reason for the page and prints it on stderr."""
        self.left_out.append(str(reason))
        print(f"warning: left out: {reason}", file=sys.stderr)

    def is_of_the_same(self, dataset: str, settings: dict, seed: int, inputs: dict, place: pathlib.Path) -> bool:
        """Returns whether a result has the same inputs as those before it. If not, it is left out and named.

        Args:
            dataset: its name.
            settings: of the result; inputs at another path, or of another seed, may differ.
            seed: of the result.
            inputs: the SHA-256 of what it was made from, see :func:`dg_jax.run.identify`.
            place: where it is.
        """
        weights = str(settings.get("weights")).replace("{seed}", str(seed))
        for name, content in inputs.items():
            path = {"weights": weights}.get(name, settings.get("splits_dir") if name.startswith("split list") else None)
            known, first = self.contents.setdefault((dataset, name, str(path)), (content, place))
            if content != known:
                self.leave_out(f"{place}: {name}: not the same as in {first}; do one of them again, with --overwrite")
                return False
        return True


def find(results_dir: pathlib.Path) -> Stored:
    """Reads a results directory; what is damaged is named on stderr and left out.

    Raises:
        UserError: there is nothing to report on.
    """
    found = Stored({}, {}, {}, [], [], results_dir)
    found.runs = _runs(sorted(results_dir.glob("*/*/*/seed-*/")), found)
    found.grid_runs = _runs(sorted(results_dir.glob("grid_search/*/*/*/*/*/seed-*/")), found)
    for path in sorted(results_dir.glob("gradient_similarity/*/*/seed-*.json")):
        _read_similarity(path, found)
    if not found.datasets:
        raise errors.UserError(
            f"--results-dir={results_dir}: no finished run in there (DATASET/TARGET/STRATEGY/seed-SEED/result.json) "
            "and no other results; name the folder that runs or experiments were written to"
        )
    return found


def _runs(paths: list[pathlib.Path], found: Stored) -> dict[str, list[Run]]:
    runs = collections.defaultdict(list)
    for folder in map(run_folder.RunFolder, paths):
        if folder.result_file.exists():
            try:
                run = Run(folder, *run_result.read(folder))
            except errors.UserError as error:
                found.leave_out(error)
                continue
            dataset = run.config["dataset"]
            if found.is_of_the_same(dataset, run.config, run.seed, run.config["inputs"], folder.path):
                runs[dataset].append(run)
        elif folder.config_file.exists():
            found.unfinished.append(folder.path)
    return {dataset: _in_order(of_dataset) for dataset, of_dataset in runs.items()}


def _in_order(runs: list[Run]) -> list[Run]:
    """Sorts by target, method and seed; targets are in the order of the domains."""
    domains = list(dict.fromkeys(domain for run in runs for domain in (*run.config["domains"], run.target)))
    return sorted(runs, key=lambda run: (domains.index(run.target), run.method_place, run.seed))


def _read_similarity(path: pathlib.Path, found: Stored) -> None:
    seed = _SEED_FILE.fullmatch(path.name)
    if seed is None:
        return
    try:
        str(path).encode()  # a name that is not UTF-8 cannot be drawn
        measured = measurements.read(path)
    except measurements.UNREADABLE as error:
        found.leave_out(f"{path} is damaged ({type(error).__name__}: {error}); remove it to measure again")
        return
    try:
        compared.check_recorded(measured, path)
    except errors.UserError as error:
        found.leave_out(error)
        return
    dataset, target = path.parts[-3:-1]
    if not found.is_of_the_same(dataset, measured["settings"], int(seed[1]), measured["inputs"], path):
        return
    of_target = found.similarities.setdefault(dataset, {}).setdefault(target, {})
    for first, other in of_target.items():
        if any(other[name] != measured[name] for name in ("settings", "steps", "layers")):
            found.leave_out(
                f"{path} was measured with other settings than seed-{first}.json beside it; measure one of them again"
            )
            return
    of_target[int(seed[1])] = measured
