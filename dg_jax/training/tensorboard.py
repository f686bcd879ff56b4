"""A run's figures for TensorBoard: a hook like any that a user writes."""

import json
import pathlib

from dg_jax.config import RunConfig
from dg_jax.training import compared, drive


class TensorBoard(drive.Hook):
    """Writes the settings, and of each validation accuracy and loss, losses by domain and the combiner's figures.

    Used as ``with TensorBoard(...) as hook``.
    """

    def __init__(self, config: RunConfig, folder: pathlib.Path, done: int):
        """Writes to ``folder``, where what an earlier try wrote after step ``done`` is hidden."""
        import tensorboardX  # of an extra of its own

        self._sources = config.sources
        self._writer = tensorboardX.SummaryWriter(str(folder), purge_step=done + 1, filename_suffix=f".{done}")
        settings = json.dumps(compared.to_json(config), indent=2)
        self._writer.add_text("settings", "\n".join(f"    {line}" for line in settings.splitlines()), done)

    def __enter__(self) -> "TensorBoard":
        return self

    def __exit__(self, *unused) -> None:
        self._writer.close()

    def on_validation(self, values) -> None:
        """Writes the figures of one validation."""
        number = values["step"]
        for name, value in values.items():
            if name == "losses":
                names = self._sources if len(value) == len(self._sources) else map(str, range(len(value)))
                for source, loss in zip(names, value, strict=True):
                    self._writer.add_scalar(f"losses/{source}", loss, number)
            elif name == "watched":
                for part, accuracy in value.items():
                    self._writer.add_scalar(f"watched/{part}", accuracy, number)
            elif name != "step" and value is not None:
                self._writer.add_scalar(name, value, number)
