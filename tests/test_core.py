"""What the library needs: jax, optax, numpy, chex and what these need, and no other package."""

import importlib.metadata
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
CORE = {"jax", "optax", "numpy", "chex"}
# Refuses to import some installed packages, as if they were not there.
ALONE = """
import json, runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
refused = set(json.loads(sys.argv[1]))
sys.meta_path.insert(0, Refuse())
runpy.run_path("tests/chain.py")
"""
SECONDS = """
import gc, time
import jax, optax
gc.disable()  # where its next pass falls is chance, and one pass over all that jax has made takes 60 ms
start = time.perf_counter()
import dg_jax.surgery
print(time.perf_counter() - start)
"""


def normal(name):
    return re.sub("[-_.]+", "-", name).lower()


def needed(names):
    """Returns some packages and all that they need, by their metadata."""
    found = set()
    todo = {*names}
    while todo:
        name = todo.pop()
        found.add(name)
        try:
            requirements = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:  # for another platform or Python
            continue
        asked = {normal(re.match(r"[\w.-]+", line)[0]) for line in requirements if "extra ==" not in line}
        todo |= asked - found
    return found


def python(*arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ).stdout


def test_a_chain_runs_without_any_other_package():
    allowed = needed(CORE)
    assert CORE | {"jaxlib", "ml-dtypes"} <= allowed and not allowed & {"flax", "orbax-checkpoint", "rich", "pytest"}
    modules = importlib.metadata.packages_distributions()
    refused = [module for module, names in modules.items() if not (allowed | {"dg-jax"}) & {*map(normal, names)}]
    assert "pytest" in refused
    python("-c", ALONE, json.dumps(refused))


def test_surgery_imports_nothing_but_jax_optax_and_numpy():
    program = (
        "import sys, jax.numpy, optax; before = {*sys.modules}; import dg_jax.surgery; print(*{*sys.modules} - before)"
    )
    names = {name.partition(".")[0] for name in python("-c", program).split()}
    assert names <= {"dg_jax", "jax", "optax", "numpy", *sys.stdlib_module_names}


def test_surgery_is_imported_when_it_is_first_used():
    program = """
import sys
import dg_jax
assert "surgery" in dir(dg_jax)
assert not {"jax", "optax", "numpy", "dg_jax.surgery"} & {*sys.modules}
dg_jax.surgery.agr_sum()
assert dg_jax.surgery is sys.modules["dg_jax.surgery"]
"""
    python("-c", program)


def test_an_unknown_name_is_the_usual_error():
    import dg_jax

    with pytest.raises(AttributeError, match=r"^module 'dg_jax' has no attribute 'surgeon'$"):
        dg_jax.surgeon  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'surgeon'"):
        from dg_jax import surgeon  # type: ignore[attr-defined]  # noqa: F401


def test_the_import_takes_at_most_50_ms_beyond_jax_and_optax():
    fastest = 1.0
    for _ in range(6):  # the first has to compile the modules; other work on the machine slows most
        fastest = min(fastest, float(python("-c", SECONDS)))
        if fastest <= 0.05:
            return
    pytest.fail(f"{1000 * fastest:.0f} ms")


def test_type_checkers_find_the_marker():
    assert (ROOT / "dg_jax" / "py.typed").is_file()
