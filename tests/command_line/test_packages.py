"""What programs print if the packages of an extra are missing."""

import ast
import importlib.metadata
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

from dg_jax import errors
from dg_jax.command_line import packages

ROOT = pathlib.Path(__file__).parents[2]
# A child process of ``python -m experiments.benchmark``, which has already checked the packages.
CHILDREN = {"experiments/benchmark/memory.py"}
PROGRAMS = sorted(
    path
    for folder in ("dg_jax", "experiments", "third_party")
    for path in (str(file.relative_to(ROOT)) for file in (ROOT / folder).rglob("*.py"))
    if '\nif __name__ == "__main__":\n' in (ROOT / path).read_text() and path not in CHILDREN
)
WITHOUT_HELP = {"experiments/combiners_figure.py", "experiments/performance_figure.py"}
# Refuses to import some packages, as if they were not installed, then runs a program.
BLOCKED = """
import json, runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
blocked = json.loads(sys.argv[1])
sys.meta_path.insert(0, Refuse())
del sys.argv[:2]
if sys.argv[0].startswith("third_party"):
    runpy.run_path(sys.argv[0], run_name="__main__")
else:
    name = sys.argv[0].removesuffix(".py").removesuffix("/__main__").replace("/", ".")
    runpy.run_module(name, run_name="__main__", alter_sys=True)
"""


def without(extra, program):
    """Starts a program with the packages of an extra missing, and returns its exit code, stdout and stderr."""
    blocked = [module.partition(".")[0] for module in packages.PACKAGES[extra].values()]
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, json.dumps(blocked), program, "--help"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    return done.returncode, done.stdout, done.stderr


def listed(extra):
    return ", ".join(packages.PACKAGES[extra])


def extras_of(program):
    """Returns the extras that a program checks for."""
    [call] = re.findall(r"^    packages\.exit_unless_installed\((.*)\)$", (ROOT / program).read_text(), re.MULTILINE)
    return ast.literal_eval(f"({call},)")


def test_the_programs_are_found():
    assert {"dg_jax/run.py", "experiments/table1/__main__.py", "experiments/report/__main__.py"} < set(PROGRAMS)


@pytest.mark.parametrize("program", PROGRAMS)
def test_without_the_extra_a_program_is_one_line(program):
    for extra in extras_of(program):
        code, out, err = without(extra, program)
        assert (code, out) == (2, "")
        lines = err.splitlines()
        assert len(lines) == 1
        # If only the library is installed, the program's other extra is missing too.
        found = re.fullmatch(r'error: not installed: (.*); run: pip install -e "\.\[(.*)\]"', lines[0])
        assert found and listed(extra) in found[1]
        assert {extra} <= {*found[2].split(",")} <= {*extras_of(program)}


@pytest.mark.parametrize("program", [program for program in PROGRAMS if program not in WITHOUT_HELP])
def test_a_program_needs_no_other_extra(program):
    pytest.importorskip("tyro", reason="the extra train is not installed: pip install -e '.[train]'")
    for extra in {"train", "analysis"} - {*extras_of(program)}:
        code, out, err = without(extra, program)
        assert (code, err) == (0, "") and "usage: " in out


def test_the_line_names_each_package_and_one_command(capsys, monkeypatch):
    monkeypatch.setattr(packages, "is_installed", lambda module: module in ("flax", "scipy"))
    with pytest.raises(SystemExit) as ended:
        packages.exit_unless_installed("train", "analysis")
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "error: not installed: orbax-checkpoint, tensorflow-datasets, array-record, importlib-resources, grain, "
        'safetensors, pillow, tyro, rich, matplotlib, jinja2; run: pip install -e ".[train,analysis]"\n'
    )
    monkeypatch.setattr(packages, "is_installed", lambda module: module != "scipy")
    with pytest.raises(SystemExit):
        packages.exit_unless_installed("train", "analysis")
    assert capsys.readouterr().err == 'error: not installed: scipy; run: pip install -e ".[analysis]"\n'


def test_a_module_of_a_missing_package_is_missing():
    assert not packages.is_installed("no_such_package.module")
    assert packages.is_installed("json.decoder") and not packages.is_installed("json.no_such_module")


def test_a_broken_package_is_shown_with_its_own_error(tmp_path):
    for name in {module.partition(".")[0] for module in packages.PACKAGES["train"].values()}:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("import no_such_module")
    (tmp_path / "orbax" / "__init__.py").write_text("")
    (tmp_path / "orbax" / "checkpoint.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "dg_jax.run", "--help"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'no_such_module'"


def test_needed_passes_other_import_errors_on():
    message = r'^it needs ray; run: pip install -e "\.\[cluster\]"$'
    with pytest.raises(errors.UserError, match=message), packages.needed("it needs", "cluster"):
        raise ModuleNotFoundError("No module named 'ray'", name="ray")
    for error in (ModuleNotFoundError("No module named 'grpc'", name="grpc"), ImportError("broken", name="ray")):
        with pytest.raises(type(error)) as raised, packages.needed("it needs", "cluster"):
            raise error
        assert raised.value is error


def test_the_packages_are_those_of_pyproject():
    optional = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    library = {"jax", "optax", "numpy", "chex", "dg_jax"}
    for extra, of_extra in packages.PACKAGES.items():
        named = {re.split(r"[\[>=]", requirement)[0] for requirement in optional[extra]}
        assert named - library == set(of_extra)


def test_the_packages_are_imported_as_it_says():
    distributions = importlib.metadata.packages_distributions()
    for of_extra in packages.PACKAGES.values():
        for package, module in of_extra.items():
            try:
                importlib.metadata.distribution(package)
            except importlib.metadata.PackageNotFoundError:
                continue
            assert packages.is_installed(module)
            names = [re.sub("[-_.]+", "-", name).lower() for name in distributions[module.partition(".")[0]]]
            assert re.sub("[-_.]+", "-", package).lower() in names
