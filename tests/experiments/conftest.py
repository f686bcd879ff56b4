import pytest

from tests.experiments.made_runs import MadeRuns


@pytest.fixture
def made(monkeypatch):
    """Runs with made-up results instead of real ones."""
    return MadeRuns(monkeypatch)


@pytest.fixture
def command(tmp_path, capsys):
    """Calls the command line in this process: ``command(module, *flags) -> (exit code, stdout, stderr)``."""

    def call(module, *flags):
        code = module.main([f"--results-dir={tmp_path / 'results'}", *flags])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call
