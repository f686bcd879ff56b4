"""The run on disk: its folder, its configuration, its metrics and its result."""

import dataclasses
import json
import os
import pathlib
import shutil
from collections.abc import Callable

from dg_jax import errors
from dg_jax.config import RunConfig, flag

# Settings that may differ between a run and its continuation.
_NOT_COMPARED = ("iterations", "data_dir", "prepared_dir", "results_dir", "resume", "overwrite")


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """``<results-dir>/<dataset>/<target>/<strategy>/seed-<seed>/``.

    With ``--combiner`` the strategy's name is ``<strategy>+<combiner>``.
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
        write_by_rename(self.result_file, json.dumps(result, indent=2) + "\n")

    def append_metrics(self, metrics: dict) -> None:
        with self.metrics_file.open("a") as file:
            file.write(json.dumps(metrics) + "\n")

    def keep_metrics(self, is_kept: Callable[[int], bool]) -> None:
        """Forgets the lines of the steps that ``is_kept`` refuses."""
        if self.metrics_file.exists():
            lines = self.metrics_file.read_text().splitlines(keepends=True)
            whole = [line for line in lines if line.endswith("\n")]
            write_by_rename(self.metrics_file, "".join(line for line in whole if is_kept(json.loads(line)["step"])))


def folder_of(config: RunConfig) -> RunFolder:
    """Returns the folder of a run; creates nothing."""
    method = f"{config.strategy}+{config.combiner}" if config.combiner else config.strategy
    return RunFolder(config.results_dir / config.dataset / config.target / method / f"seed-{config.seed}")


def finished_result(config: RunConfig, folder: RunFolder) -> dict | None:
    """Returns the result of a run that need not be done (again), else ``None``.

    With ``overwrite`` every run is to be done; with ``resume`` one that ended before
    ``iterations`` is to go on.

    Raises:
        UserError: the finished run had other settings.
    """
    if config.overwrite or not folder.result_file.exists():
        return None
    result = _read_json(folder.result_file)
    _compare(config, _read_json(folder.config_file), folder)
    if result["iterations"] == config.iterations:
        return result
    if config.resume and result["iterations"] < config.iterations:
        return None
    raise errors.UserError(
        f"--iterations={config.iterations}: the run in {folder.path} is done with {result['iterations']}; "
        "--resume goes on to more, --overwrite starts anew"
    )


def open_folder(config: RunConfig, folder: RunFolder) -> None:
    """Makes the folder ready to train in: new, emptied, or as it was left.

    Raises:
        UserError: it cannot be written, an unfinished run lies in it and neither
            ``resume`` nor ``overwrite`` is set, or the run to resume had other settings.
    """
    try:
        if config.overwrite and folder.path.exists():
            shutil.rmtree(folder.path)
        if folder.checkpoints.exists():
            if not config.resume:
                raise errors.UserError(
                    f"{folder.path} holds an unfinished run: --resume goes on with it, --overwrite starts anew"
                )
            _compare(config, _read_json(folder.config_file), folder)
        else:
            # What was stopped before its first checkpoint has nothing to go on from.
            folder.metrics_file.unlink(missing_ok=True)
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.result_file.unlink(missing_ok=True)
        write_by_rename(folder.config_file, json.dumps(to_json(config), indent=2) + "\n")
    except OSError as error:
        raise errors.UserError(
            f"--results-dir={config.results_dir}: cannot write {error.filename or folder.path}: {error.strerror}"
        ) from error


def to_json(config: RunConfig) -> dict:
    """Returns the configuration as JSON stores it."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))


def _compare(config: RunConfig, stored: dict, folder: RunFolder) -> None:
    for name, value in to_json(config).items():
        if name not in _NOT_COMPARED and stored.get(name) != value:
            raise errors.UserError(
                f"{flag(name)} is {value}, but the run in {folder.path} has {stored.get(name)}; "
                "give the same, another --results-dir, or --overwrite to start anew"
            )


def _read_json(path: pathlib.Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise errors.UserError(f"{path} cannot be read as JSON ({error}); --overwrite does the run again") from error


def write_by_rename(path: pathlib.Path, text: str) -> None:
    """Writes a file so that it is there whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
