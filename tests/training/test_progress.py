import io

import numpy as np
from rich import console

from dg_jax.training import progress, step
from tests.training import worlds


def shown(monkeypatch, tmp_path, is_terminal, losses):
    """What a display prints of one step and one validation."""
    printed = io.StringIO()
    terminal = console.Console(file=printed, force_terminal=is_terminal, width=200)
    monkeypatch.setattr(progress.console, "Console", lambda **options: terminal)
    with progress.Display(worlds.tiny_config(tmp_path), True) as display:
        display.validation(0.75)
        display.on_step(3, step.StepMetrics(np.array(losses), {"agreement": np.float32(0.5)}))
    return printed.getvalue()


def test_a_terminal_shows_losses_figures_and_accuracy(monkeypatch, tmp_path):
    text = shown(monkeypatch, tmp_path, True, [0.5, 0.25])
    for part in ("apple 0.500", "google 0.250", "agreement 0.5", "validation 0.750", "3/6"):
        assert part in text


def test_losses_that_are_of_no_single_domain_have_no_name(monkeypatch, tmp_path):
    text = shown(monkeypatch, tmp_path, True, [0.5])
    assert "loss 0.500" in text and "apple" not in text


def test_elsewhere_nothing_is_shown(monkeypatch, tmp_path):
    assert not shown(monkeypatch, tmp_path, False, [0.5, 0.25])
