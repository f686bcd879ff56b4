"""What a run prints on stderr while it trains: a bar on a terminal, a line at some validations elsewhere."""

import math
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich import console, progress

from dg_jax import errors
from dg_jax.config import RunConfig
from dg_jax.data import dataset
from dg_jax.training import drive, run_folder, step

_BETWEEN_LINES = 10.0  # seconds


class Display(drive.Hook):
    """Prints what is trained on which data. Then it shows a bar with as many metrics as fit, or prints lines."""

    def __init__(self, config: RunConfig, is_shown: bool):
        self._config, self._is_shown = config, is_shown
        self._sources = [errors.printable(name) for name in config.sources]
        self._images_per_step = len(config.sources) * config.optimisation.batch_size
        self._terminal = console.Console(stderr=True)
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(self._bar_width()),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.fields[figures]}", markup=False),
            console=self._terminal,
            disable=not (is_shown and self._terminal.is_terminal),
        )
        self._task = self._bar.add_task("compiling", total=config.optimisation.iterations, figures="")
        self._accuracy = ""
        self._metrics: step.StepMetrics | None = None
        self._next_line = -math.inf

    def __enter__(self) -> "Display":
        self._bar.start()
        return self

    def __exit__(self, *unused) -> None:
        self._bar.stop()

    def begins(self, data: dataset.MultiDomainDataset, folder: run_folder.RunFolder, done: int, devices: int) -> None:
        """Prints what is trained on which data, from which step on, and where the run is written."""
        config = self._config
        network, optimisation, example = config.network, config.optimisation, data.example
        size = f"{example['shape'][0]} px" if example["dtype"] == "uint8" else f"examples {example['shape']}"
        images = ", ".join(f"{name} ({len(data.domains[name]['train'].label)})" for name in config.sources)
        weights = "" if network.weights is None else f" from {network.weights}"
        if network.frozen_layers:
            weights += f", {' '.join(network.frozen_layers)} frozen"
        method = config.strategy + (f" with {config.method.combiner}" if config.method.combiner else "")
        self._say(
            f"{method}: {network.model}{weights}, "
            f"{size}, learning rate {config.rates.learning_rate:g}, {optimisation.iterations} "
            f"iterations{f' from {done} on' if done else ''} of {optimisation.batch_size} images of each of {images}; "
            f"{f'on {devices} devices; ' if devices > 1 else ''}held out: {config.target}; written to {folder.path}"
        )

    def ends(self, result: Mapping[str, Any]) -> None:
        """Prints that the run is done, if no bar shows it."""
        if self._bar.disable:
            accuracy = 100 * result["test_accuracy"]
            self._say(f"done in {result['wall_seconds']:.0f} s: {accuracy:.1f}% right on {result['target']}")

    def on_step(self, number: int, metrics: step.StepMetrics) -> None:
        """Shows the metrics of one step."""
        self._metrics = metrics
        self._bar.update(self._task, completed=number, description="training")
        if not self._bar.disable:
            total = self._config.optimisation.iterations
            # Five spaces separate the columns.
            room = self._terminal.width - len(f"compiling{total}/{total}-:--:--") - self._bar_width() - 5
            self._bar.update(self._task, figures=", ".join(_fitting(self._figures(), room)))

    def on_validation(self, values: Mapping[str, Any]) -> None:
        """Shows the new accuracy. Without a bar it prints a line, if the last one is at least ten seconds old."""
        self._accuracy = f"validation {100 * values['val_accuracy']:.1f}%"
        if self._bar.disable and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _BETWEEN_LINES
            seconds = self._bar.tasks[self._task].time_remaining
            left = [f"{seconds:.0f} s left"] if seconds else []
            figures = ", ".join([*self._figures(), *left])
            self._say(f"step {values['step']} of {self._config.optimisation.iterations}: {figures}")

    def _say(self, line: str) -> None:
        if self._is_shown:
            print(errors.printable(line), file=sys.stderr, flush=True)

    def _bar_width(self) -> int:
        return 10 if self._terminal.width < 80 else 20

    def _figures(self) -> list[str]:
        """Returns the metrics of the last step, the most important first."""
        if self._metrics is None:
            return [self._accuracy]
        losses, combiner = self._metrics.losses, dict(self._metrics.combiner)
        figures = [f"loss {sum(map(float, losses)) / len(losses):.3f}"]
        if self._accuracy:
            figures.append(self._accuracy)
        if "agreement" in combiner:
            random = 2.0 ** (1 - len(losses))
            figures.append(f"agreement {float(combiner.pop('agreement')):.3g} (random signs {random:.2g})")
        if len(losses) == len(self._sources) > 1:
            by_domain = (f"{name} {loss:.3f}" for name, loss in zip(self._sources, losses, strict=True))
            figures.append(f"losses {' '.join(by_domain)}")
        figures += [f"{name} {float(value):.3g}" for name, value in combiner.items()]
        speed = self._bar.tasks[self._task].speed
        if speed:
            figures.append(f"{speed * self._images_per_step:.0f} images/s")
        return figures


def _fitting(figures: Iterable[str], room: int) -> list[str]:
    """Returns the figures that fit into the line, in their order; one that does not fit is skipped."""
    shown: list[str] = []
    for figure in figures:
        if len(", ".join([*shown, figure])) <= room:
            shown.append(figure)
    return shown
