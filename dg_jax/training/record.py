"""The run on disk: its folder, its configuration, its metrics and its result."""

import contextlib
import dataclasses
import functools
import json
import math
import operator
import os
import pathlib
import platform
import reprlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import flax
import jax
import jaxlib
import numpy as np
import optax

import dg_jax
from dg_jax import errors
from dg_jax.config import RunConfig, check_annealing, flag
from dg_jax.data import lock
from dg_jax.training import evaluate, metrics_file
from dg_jax.training.files import DamagedError, is_count, is_fraction, read_object, write_by_rename, writing

# Settings that may differ between a run and its continuation. Of what lies at a path the contents are compared.
_NOT_COMPARED = (
    "iterations",
    "data_dir",
    "splits_dir",
    "weights",
    "prepared_dir",
    "results_dir",
    "gradients",
    "resume",
    "overwrite",
)


_SHORT = reprlib.Repr()
_SHORT.maxlist = _SHORT.maxdict = 20
_SHORT.maxstring = 200


# The same of a configuration that may be another version's.
_OF_A_CONFIG = {
    **dict.fromkeys(("dataset", "target", "strategy", "batches"), lambda value: isinstance(value, str)),
    **dict.fromkeys(("seed", "iterations"), lambda value: type(value) is int),
    **dict.fromkeys(("learning_rate", "weight_decay"), lambda value: type(value) is float and math.isfinite(value)),
    "combiner": lambda value: value is None or isinstance(value, str),
    "domains": lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
}


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """``<results-dir>/<dataset>/<target>/<strategy>/seed-<seed>/``.

    With ``--combiner`` the strategy's name is ``<strategy>+<combiner>``, with
    ``--batches=single_domain`` it ends in ``-single_domain``.
    """

    path: pathlib.Path

    @property
    def result_file(self) -> pathlib.Path:
        """Written last: its presence means that the run is done."""
        return self.path / "result.json"

    @property
    def config_file(self) -> pathlib.Path:
        return self.path / "config.json"

    @property
    def metrics_file(self) -> pathlib.Path:
        """One JSON object a line, one line a validation."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> pathlib.Path:
        return self.path / "checkpoints"

    def write_result(self, result: dict) -> None:
        write_by_rename(self.result_file, json.dumps(result, indent=2, allow_nan=False) + "\n")

    def forget_progress(self) -> None:
        """Removes checkpoints and metrics, for a run that starts anew."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        self.metrics_file.unlink(missing_ok=True)

    def append_metrics(self, values: dict) -> None:
        with writing(self.metrics_file), self.metrics_file.open("a") as file:
            file.write(json.dumps(values, allow_nan=False) + "\n")

    def watched(self) -> list[dict]:
        """Returns what was noted at each validation of a run whose dataset has parts to watch.

        Returns:
            For each validation the values of ``"step"``, ``"val_accuracy"`` and ``"watched"`` (name of
            the part -> accuracy).

        Raises:
            DamagedError: the file cannot be read, or the run watched nothing.
        """
        lines = metrics_file.validations(self.metrics_file)
        if not lines or not all("watched" in line for line in lines):
            raise DamagedError(
                f"{self.metrics_file} is damaged (nothing was watched); remove {self.path} to do the run again"
            )
        return [{name: line[name] for name in ("step", "val_accuracy", "watched")} for line in lines]


def folder_of(config: RunConfig) -> RunFolder:
    """Returns the folder of a run; creates nothing."""
    method = f"{config.strategy}+{config.combiner}" if config.combiner else config.strategy
    if config.batches == "single_domain":
        method += "-single_domain"
    return RunFolder(config.results_dir / config.dataset / config.target / method / f"seed-{config.seed}")


def settled(config: RunConfig, folder: RunFolder) -> RunConfig:
    """Returns a run's configuration with IRM's annealing as a number, on ``resume`` the one that the run began with.

    Raises:
        DamagedError: the configuration of the run to resume cannot be read.
        UserError: the run to resume would end before its penalty sets in.
    """
    if config.methods.objective != "irm" or config.irm.anneal_steps is not None:
        return config
    steps = config.method_settings("irm")["anneal_steps"]
    if config.resume and (folder.result_file.exists() or folder.checkpoints.exists()):
        has_steps = {"irm": lambda value: isinstance(value, dict) and is_count(value.get("anneal_steps"))}
        steps = read_object(folder.config_file, has_steps)["irm"]["anneal_steps"]
    settled_config = dataclasses.replace(config, irm=dataclasses.replace(config.irm, anneal_steps=steps))
    check_annealing(settled_config)
    return settled_config


def finished_result(config: RunConfig, folder: RunFolder, identify: Callable[[], Mapping[str, str]]) -> dict | None:
    """Returns the result of a run that need not be done (again), else ``None``.

    With ``overwrite`` every run is to be done; with ``resume`` one that ended before
    ``iterations`` is to go on.

    Args:
        config: the run.
        folder: where it is written.
        identify: returns what :func:`dg_jax.run.identify` does, and is called where there is a run to compare with.

    Raises:
        DamagedError: its files cannot be read.
        UserError: the finished run, or the one to resume, had other settings or inputs.
    """
    if config.overwrite:
        return None
    if not folder.result_file.exists():
        if config.resume and folder.checkpoints.exists():
            _compare(config, folder, identify())
        return None
    result = read_object(folder.result_file, _of_a_result(config))
    _compare(config, folder, identify())
    done = f"--iterations={config.iterations}: the run in {folder.path} is done with {result['iterations']}"
    if result["iterations"] > config.iterations:
        raise errors.UserError(f"{done}; give as many, another --results-dir, or --overwrite to start anew")
    if result["iterations"] == config.iterations:
        return result
    if config.resume:
        return None
    raise errors.UserError(f"{done}; --resume goes on to more, --overwrite starts anew")


def read_finished(folder: RunFolder) -> tuple[dict, dict]:
    """Returns configuration and result of a finished run as they are on disk, by whatever version they were written.

    Raises:
        DamagedError: its files cannot be read, or are those of another run.
        UserError: it does not say of which inputs it is.
    """
    stored, result = read_object(folder.config_file, _OF_A_CONFIG), read_object(folder.result_file, _OF_A_RESULT)
    check_recorded(stored, folder.path)
    name = {key: stored[key] for key in ("dataset", "target", "strategy", "combiner", "batches", "seed")}
    its_own = folder_of(RunConfig(**name, results_dir=folder.path.parents[3]))
    if its_own != folder or any(result[key] != stored[key] for key in ("dataset", "target", "strategy")):
        raise DamagedError(f"{folder.path} holds files of another run ({its_own.path}); remove it")
    return stored, result


@contextlib.contextmanager
def open_folder(config: RunConfig, folder: RunFolder, inputs: Mapping[str, str]) -> Iterator[None]:
    """Makes the folder ready to train in: new, emptied, or as it was left.

    Within ``with open_folder(...)`` no other process can. The lock goes with the process,
    however it ends.

    Args:
        config: the run.
        folder: where it is written.
        inputs: what :func:`dg_jax.run.identify` says of what it is made of.

    Raises:
        UserError: it cannot be written, an unfinished run lies in it and neither
            ``resume`` nor ``overwrite`` is set, or the run to resume had other settings or inputs.
        RunError: another process is writing it.
    """
    with writing(folder.path):
        folder.path.mkdir(parents=True, exist_ok=True)
        lock_file = (folder.path / ".lock").open("w")
    with lock_file:
        with writing(folder.path):
            try:
                lock.take(lock_file)
            except BlockingIOError as error:
                raise errors.RunError(
                    f"{folder.path}: another process is writing this run; wait for it, or give another --results-dir"
                ) from error
            if config.overwrite:
                folder.result_file.unlink(missing_ok=True)  # first, so that half of it is never taken for a whole run
                folder.forget_progress()
            if folder.checkpoints.exists():
                if not config.resume:
                    raise errors.UserError(
                        f"{folder.path} holds an unfinished run: --resume goes on with it, --overwrite starts anew"
                    )
                _compare(config, folder, inputs)
            else:
                # What was stopped before its first checkpoint has nothing to go on from.
                folder.metrics_file.unlink(missing_ok=True)
            folder.result_file.unlink(missing_ok=True)
            write_by_rename(folder.config_file, json.dumps(to_json(config) | {"inputs": dict(inputs)}, indent=2) + "\n")
        yield


def result(
    config: RunConfig,
    left_out: Sequence[str],
    inputs: Mapping[str, str],
    *,
    selected: tuple[int, float],
    tested: evaluate.Evaluation,
    tested_last: evaluate.Evaluation,
    seconds: float,
    images_per_second: float | None,
) -> dict:
    """Returns what ``result.json`` holds.

    Args:
        config: the run's configuration.
        left_out: damaged files that it did without.
        inputs: what :func:`dg_jax.run.identify` says of what it is made of.
        selected: step and validation accuracy of the selected parameters.
        tested: what they do on the target.
        tested_last: what the last parameters do on the target.
        seconds: the run's time.
        images_per_second: images trained on in a second of steps; ``None`` if there were no steps.

    Raises:
        RunError: a loss on the target is not finite, so that its accuracy says nothing.
    """
    for which, evaluation in (("selected", tested), ("last", tested_last)):
        if not math.isfinite(evaluation.loss):
            raise errors.RunError(
                f"the test loss of {config.target} with the {which} parameters is {evaluation.loss}: "
                "logits beyond what float32 holds; no result is written; try a smaller --learning-rate"
            )
    return {
        "dataset": config.dataset,
        "target": config.target,
        "sources": list(config.sources),
        "strategy": config.strategy,
        "combiner": config.methods.combiner,
        "batches": config.batches,
        "model": config.model,
        "seed": config.seed,
        "iterations": config.iterations,
        "selected_step": selected[0],
        "val_accuracy": selected[1],
        "test_accuracy": tested.accuracy,
        "test_accuracy_last": tested_last.accuracy,
        "test_loss": tested.loss,
        "wall_seconds": seconds,
        "images_per_second": images_per_second,
        "left_out": list(left_out),
        "weights_sha256": inputs.get("weights"),
        "versions": {
            "python": platform.python_version(),
            "jax": jax.__version__,
            "jaxlib": jaxlib.__version__,
            "numpy": np.__version__,
            "flax": flax.__version__,
            "optax": optax.__version__,
            "dg_jax": dg_jax.__version__,
        },
        "device": jax.devices()[0].device_kind,
        "platform": jax.devices()[0].platform,
        "host": {"system": platform.platform(), "processor": _processor(), "cores": os.cpu_count()},
    }


def _processor() -> str:
    """Returns the name of the CPU, on which the order of XLA's sums depends where it is what computes."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def to_json(config: RunConfig) -> dict:
    """Returns the configuration as JSON stores it."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))


def check_recorded(stored: Mapping[str, Any], place: pathlib.Path) -> None:
    """Raises a ``UserError`` unless what was written to ``place`` says of which inputs it is."""
    if not isinstance(stored.get("inputs"), dict):
        raise errors.UserError(
            f"{place} was written by an earlier version and does not say of which pictures, split lists and weights "
            "it is; give --overwrite to do it again, or another --results-dir"
        )


def check_inputs(inputs: Mapping[str, str], stored: Mapping[str, Any], place: pathlib.Path) -> None:
    """Raises a ``UserError`` that names what changed unless ``stored`` is of the same inputs.

    Args:
        inputs: the contents of what there is now, see :func:`dg_jax.run.identify`.
        stored: what was written, with those of then under ``"inputs"``.
        place: where that lies.
    """
    check_recorded(stored, place)
    theirs = stored["inputs"]
    changed = [name for name in sorted({*inputs, *theirs}) if inputs.get(name) != theirs.get(name)]
    if changed:
        raise errors.UserError(
            f"{errors.listed(changed)}: not the same as when {place} was written; "
            "give the same, another --results-dir, or --overwrite to start anew"
        )


def _compare(config: RunConfig, folder: RunFolder, inputs: Mapping[str, str]) -> None:
    check_inputs(inputs, read_object(folder.config_file, dict.fromkeys(_OF_A_CONFIG, lambda value: True)), folder.path)
    ours = {name: value for name, value in to_json(config).items() if name not in _NOT_COMPARED}
    stored = read_object(folder.config_file, dict.fromkeys(ours, lambda value: True))
    for name, value in ours.items():
        if stored[name] != value:
            raise errors.UserError(
                f"{flag(name)} is {value}, but the run in {folder.path} has {_shown(stored[name])}; "
                "give the same, another --results-dir, or --overwrite to start anew"
            )


def _shown(value: Any) -> str:
    """Returns a value out of a file for a message: what is ours as it is, of anything else not too much."""
    return str(value) if isinstance(value, str | float) else _SHORT.repr(value)


_FIGURES_OF_A_RESULT: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("iterations", "selected_step"), is_count),
    **dict.fromkeys(("val_accuracy", "test_accuracy", "test_accuracy_last"), is_fraction),
}
# Of a result whose configuration is not known.
_OF_A_RESULT = _FIGURES_OF_A_RESULT | {
    **dict.fromkeys(("dataset", "target", "strategy", "combiner"), lambda value: isinstance(value, str)),
    "sources": lambda value: isinstance(value, list),
}


def _of_a_result(config: RunConfig) -> dict[str, Callable[[Any], bool]]:
    """Returns what is read again of the result of a run, and how it must be."""
    named = {
        "dataset": config.dataset,
        "target": config.target,
        "sources": list(config.sources),
        "strategy": config.strategy,
        "combiner": config.methods.combiner,
        "seed": config.seed,
    }
    return {
        **{name: functools.partial(operator.eq, value) for name, value in named.items()},
        **_FIGURES_OF_A_RESULT,
    }
