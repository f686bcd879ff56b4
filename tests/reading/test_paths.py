import pathlib

import pytest

from dg_jax import errors
from dg_jax.reading import paths


def test_a_tilde_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert paths.expanded(pathlib.Path("~/runs"), "--results-dir") == pathlib.Path("/somewhere/runs")
    assert paths.expanded(pathlib.Path("a/~"), "--results-dir") == pathlib.Path("a/~")


def test_without_a_home_folder_it_is_said(monkeypatch):
    def unknown(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(pathlib.Path, "expanduser", unknown)
    with pytest.raises(errors.UserError, match="--results-dir=~/runs: there is no home folder; set HOME"):
        paths.expanded(pathlib.Path("~/runs"), "--results-dir")
