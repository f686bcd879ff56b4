"""A run's folder on disk: its files, and a lock, so that one process at a time writes it."""

import contextlib
import dataclasses
import json
import pathlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dg_jax import errors, strategies
from dg_jax.config import RunConfig, changed, check_annealing
from dg_jax.data import lock
from dg_jax.training import compared, metrics_file, processes
from dg_jax.training.files import is_count, read_object, write_by_rename, writing


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """``<results-dir>/<dataset>/<target>/<strategy>/seed-<seed>/``.

    With ``--combiner`` the folder of the strategy is ``<strategy>+<combiner>``; with
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
        """One line of JSON for each validation."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> pathlib.Path:
        return self.path / "checkpoints"

    @property
    def tensorboard(self) -> pathlib.Path:
        """What ``--log=tensorboard`` writes."""
        return self.path / "tensorboard"

    def write_result(self, result: dict) -> None:
        write_by_rename(self.result_file, json.dumps(result, indent=2, allow_nan=False) + "\n")

    def forget_progress(self) -> None:
        """Removes checkpoints, metrics and TensorBoard's files, for a run that starts again."""
        for folder in (self.checkpoints, self.tensorboard):
            shutil.rmtree(folder, ignore_errors=True)
        self.metrics_file.unlink(missing_ok=True)

    def append_metrics(self, values: dict) -> None:
        with writing(self.metrics_file), self.metrics_file.open("a") as file:
            file.write(json.dumps(values, allow_nan=False) + "\n")

    def go_on_from(self, number: int, config: RunConfig) -> None:
        """Prepares to go on from step ``number``; raises a ``UserError`` if the run is already past its last step."""
        if number > config.optimisation.iterations:
            raise errors.UserError(
                f"--iterations={config.optimisation.iterations}: the run in {self.path} is at step {number} already; "
                "ask for more, or --overwrite to start again"
            )
        # A shorter run also validated at its end, which may lie between two validations of this run.
        metrics_file.keep(self.metrics_file, lambda step: step <= number and step % config.optimisation.val_every == 0)


def folder_of(config: RunConfig) -> RunFolder:
    """Returns the folder of a run; creates nothing."""
    method = f"{config.strategy}+{config.method.combiner}" if config.method.combiner else config.strategy
    if config.method.batches == "single_domain":
        method += "-single_domain"
    return RunFolder(config.output.results_dir / config.data.dataset / config.target / method / f"seed-{config.seed}")


def settled(config: RunConfig, folder: RunFolder) -> RunConfig:
    """Returns a run's configuration with its number of annealing steps; a resumed run keeps the one it began with.

    Raises:
        DamagedError: the configuration of the run to resume cannot be read.
        UserError: the run to resume would end before its full penalty starts.
    """
    name = config.methods.objective
    if name not in strategies.ANNEALED or getattr(config.method, name).anneal_steps is not None:
        return config
    steps = config.method_settings(name)["anneal_steps"]
    with processes.together():
        if config.resume and (folder.result_file.exists() or folder.checkpoints.exists()):
            has_steps = {name: lambda value: isinstance(value, dict) and is_count(value.get("anneal_steps"))}
            steps = read_object(folder.config_file, has_steps)[name]["anneal_steps"]
    group = dataclasses.replace(getattr(config.method, name), anneal_steps=processes.of_first(steps))
    settled_config = changed(config, **{name: group})
    check_annealing(settled_config)
    return settled_config


@contextlib.contextmanager
def open_folder(
    config: RunConfig,
    folder: RunFolder,
    inputs: Mapping[str, str],
    classes: Sequence[str],
    example: Mapping[str, Any] | None = None,
) -> Iterator[None]:
    """Makes the folder ready to train in: new, emptied, or as it was left.

    Within ``with open_folder(...)`` no other process can open it. The lock ends with the process, however that ends.

    Args:
        config: the run.
        folder: where it is written.
        inputs: the run's inputs, from :func:`dg_jax.run.identify`.
        classes: names of the classes, in the order of the labels; recorded for users of the network.
        example: what the network takes, also recorded, see :attr:`dg_jax.data.dataset.MultiDomainDataset.example`.

    Raises:
        UserError: the folder cannot be written; it holds an unfinished run and neither ``resume`` nor ``overwrite`` is
            set; or the run to resume had other settings or inputs.
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
            if config.output.overwrite:
                folder.result_file.unlink(missing_ok=True)  # first, so that the rest is never taken for a finished run
                folder.forget_progress()
            if folder.checkpoints.exists():
                if not config.resume:
                    raise errors.UserError(
                        f"{folder.path} holds an unfinished run: --resume goes on with it, --overwrite starts again"
                    )
                compared.check(config, inputs, folder.config_file)
            else:
                # A run that stopped before its first checkpoint has nothing to go on from.
                folder.metrics_file.unlink(missing_ok=True)
            folder.result_file.unlink(missing_ok=True)
            recorded = compared.to_json(config) | {"classes": list(classes), "inputs": dict(inputs)}
            if example is not None:
                recorded["example"] = dict(example)
            write_by_rename(folder.config_file, json.dumps(recorded, indent=2) + "\n")
        yield
