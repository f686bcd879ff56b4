import pytest

from tests import printed
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
        said = capsys.readouterr()
        return code, said.out, printed.without_progress(said.err)

    return call
