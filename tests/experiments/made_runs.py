"""Runs whose results are made up: nothing is opened, nothing is trained, but the files are those of a run."""

import numpy as np

from dg_jax import errors, models, run
from dg_jax.analysis import figures
from dg_jax.config import RunConfig
from dg_jax.data import dataset
from dg_jax.training import run_folder
from tests.training import worlds

DOMAINS = ("apple", "google", "windows")


def made_accuracy(config: RunConfig) -> float:
    """Returns an accuracy that depends on target, method and seed: a fraction of 1000 images."""
    method = run_folder.folder_of(config).path.parent.name
    return (400 + 50 * (len(config.target) % 5) + 7 * (len(method) % 11) + (13 * config.seed) % 29) / 1000


class MadeRuns:
    """Stands in for ``run.run`` and ``run.load``.

    Attributes:
        done: the runs that were done, as (target, folder of the method, seed), in order.
        loaded: the datasets that were opened, as (target, seed), in order.
        save_figure: the real function that saves a figure; its stand-in makes empty files.
        accuracies: ``accuracies(config) -> (validation accuracy, test accuracy)``.
        fail_at: the number of a run, counted from 0, and the error to raise before it.
        failing: run, named as in ``done`` -> the error that it raises.
    """

    def __init__(self, monkeypatch):
        self.done, self.loaded = [], []
        self.accuracies = lambda config: (made_accuracy(config) / 2, made_accuracy(config))
        self.fail_at: tuple[int, BaseException] | None = None
        self.failing: dict[tuple[str, str, int], errors.RunError] = {}
        monkeypatch.setattr(run, "run", self.run)
        monkeypatch.setattr(run, "load", self.load)
        self.save_figure = figures.save
        monkeypatch.setattr(figures, "save", lambda figure, path: path.touch())  # drawing takes long

    def load(self, config: RunConfig):
        self.loaded.append((config.target, config.seed))
        return "pictures"

    def run(self, config: RunConfig, data=None, network=None, *, quiet=False) -> dict:
        assert data == "pictures" and quiet
        if self.fail_at and len(self.done) == self.fail_at[0]:
            raise self.fail_at[1]
        folder = run_folder.folder_of(config)
        name = (config.target, folder.path.parent.name, config.seed)
        if name in self.failing:
            raise self.failing[name]
        with run_folder.open_folder(config, folder, {}, ()):
            result = made_result(config, *self.accuracies(config))
            folder.write_result(result)
        self.done.append(name)
        return result


def made_result(config: RunConfig, val_accuracy: float, test_accuracy: float) -> dict:
    return {
        "dataset": config.data.dataset,
        "target": config.target,
        "sources": list(config.sources),
        "strategy": config.strategy,
        "combiner": config.methods.combiner,
        "seed": config.seed,
        "iterations": config.optimisation.iterations,
        "classes": ["cat", "dog"],
        "confusion": [[round(1000 * test_accuracy), 1000 - round(1000 * test_accuracy)], [0, 0]],
        "selected_step": 20,
        "val_accuracy": val_accuracy,
        "test_accuracy": test_accuracy,
        "test_accuracy_last": test_accuracy / 3,
    }


def small(monkeypatch) -> None:
    """Makes real runs quick: a linear network, and tiny pictures that are drawn from the run's seed."""
    monkeypatch.setattr(models, "create", lambda *args: worlds.linear_model())
    monkeypatch.setattr(run, "load", lambda config: worlds.tiny_dataset(seed=config.seed))


def stored(num_rows: int) -> dataset.StoredPart:
    """A part that does not fit into memory."""
    labels = np.zeros(num_rows, np.int32)
    return dataset.StoredPart([], np.arange(num_rows), labels, 8)
