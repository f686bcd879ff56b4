"""Writes a run's metrics for TensorBoard, with a hook such as a user could write."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from dg_jax.config import RunConfig
from dg_jax.training import compared, drive, run_folder


@contextlib.contextmanager
def of_run(config: RunConfig, folder: run_folder.RunFolder) -> Iterator[list[drive.Hook]]:
    """Within ``with of_run(config, folder) as hooks``, ``hooks`` has a TensorBoard hook if ``--log`` asks for it."""
    hook = TensorBoard(config, folder)
    try:
        yield [hook] if config.output.log == "tensorboard" else []
    finally:
        hook.close()


class TensorBoard(drive.Hook):
    """Writes the settings, and each validation's accuracy and loss, losses by domain and metrics of the combiner."""

    def __init__(self, config: RunConfig, folder: run_folder.RunFolder):
        """Takes a run and its folder; writing into its ``tensorboard`` begins at the first validation."""
        self._config, self._folder = config, folder
        self._writer: Any = None

    def on_validation(self, values: Mapping[str, Any]) -> None:
        """Writes the metrics of one validation."""
        number = values["step"]
        if self._writer is None:
            self._open(number)
        for name, value in values.items():
            if name == "losses":
                sources = self._config.sources
                names = sources if len(value) == len(sources) else map(str, range(len(value)))
                for source, loss in zip(names, value, strict=True):
                    self._writer.add_scalar(f"losses/{source}", loss, number)
            elif name == "watched":
                for part, accuracy in value.items():
                    self._writer.add_scalar(f"watched/{part}", accuracy, number)
            elif name != "step" and value is not None:
                self._writer.add_scalar(name, value, number)

    def close(self) -> None:
        """Closes the files."""
        if self._writer is not None:
            self._writer.close()

    def _open(self, number: int) -> None:
        import tensorboardX  # an optional package

        # purge_step hides what an earlier try wrote from this step on.
        folder = str(self._folder.tensorboard)
        self._writer = tensorboardX.SummaryWriter(folder, purge_step=number, filename_suffix=f".{number}")
        settings = json.dumps(compared.to_json(self._config), indent=2)
        self._writer.add_text("settings", "\n".join(f"    {line}" for line in settings.splitlines()), number)
