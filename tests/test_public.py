"""The files of a public repository besides its code: they parse, and name only what exists."""

import os
import pathlib
import re
import tomllib

import pytest

import dg_jax

yaml = pytest.importorskip("yaml")
ROOT = pathlib.Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def commands(path):
    """The commands of all jobs of a workflow."""
    jobs = yaml.safe_load(path.read_text())["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


def test_workflows_call_the_programs_of_ci_and_nothing_else():
    assert {path.name: commands(path) for path in WORKFLOWS} == {
        "ci.yml": [".ci/run", ".ci/wheel dist"],
        "release.yml": [".ci/wheel dist"],
    }
    for name in ("run", "oldest", "wheel"):
        assert os.access(ROOT / ".ci" / name, os.X_OK)


@pytest.mark.parametrize("path", [*WORKFLOWS, *sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))])
def test_templates_parse(path):
    parsed = yaml.safe_load(path.read_text())
    if path.parent.name == "ISSUE_TEMPLATE" and path.name != "config.yml":
        assert parsed["name"] and parsed["description"]
        assert all(part["attributes"]["label"] for part in parsed["body"])


def test_hooks_before_a_commit_are_those_of_ci():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    ci = (ROOT / ".ci" / "run").read_text()
    for hook in hooks:
        assert re.sub(" --fix$", "", hook["entry"]) in ci


def test_the_citation_has_the_version_and_the_licence_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["cff-version"] == "1.2.0"
    assert (citation["version"], citation["license"]) == (dg_jax.__version__, project["license"])
    assert citation["authors"][0]["name"] == project["authors"][0]["name"]
