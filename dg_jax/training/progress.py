"""What a run shows while it goes on: one line on a terminal, nothing elsewhere."""

from rich import console, progress

from dg_jax import errors
from dg_jax.config import RunConfig
from dg_jax.training import drive, step


class Display(drive.Hook):
    """A progress bar with the losses of the domains, the combiner's figures and the accuracy."""

    def __init__(self, config: RunConfig, is_shown: bool):
        self._sources = [errors.printable(name) for name in config.sources]
        self._images_per_step = len(config.sources) * config.optimisation.batch_size
        terminal = console.Console(stderr=True)
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=20),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.fields[figures]}", markup=False),
            console=terminal,
            disable=not (is_shown and terminal.is_terminal),
        )
        self._task = self._bar.add_task("compiling", total=config.optimisation.iterations, figures="")
        self._accuracy = ""

    def __enter__(self) -> "Display":
        self._bar.start()
        return self

    def __exit__(self, *unused) -> None:
        self._bar.stop()

    def on_step(self, number: int, metrics: step.StepMetrics) -> None:
        """Shows the figures of one step."""
        if self._bar.disable:
            return
        is_by_domain = len(metrics.losses) == len(self._sources)
        names = self._sources if is_by_domain else ["loss"] * len(metrics.losses)
        figures = [f"{name} {loss:.3f}" for name, loss in zip(names, metrics.losses, strict=True)]
        figures += [f"{name} {float(value):.3g}" for name, value in metrics.combiner.items()]
        speed = self._bar.tasks[self._task].speed
        if speed:
            figures.append(f"{speed * self._images_per_step:.0f} images/s")
        self._bar.update(
            self._task, completed=number, description="training", figures=", ".join(figures) + self._accuracy
        )

    def validation(self, accuracy: float) -> None:
        """Shows the validation accuracy from now on."""
        self._accuracy = f", validation {accuracy:.3f}"
