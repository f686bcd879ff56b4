"""Checks every import statement of the package, also those inside functions, against the table of rooms."""

import ast
import graphlib
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]

# Room -> the rooms that its modules may import. A room is a folder or a file directly in dg_jax/. Imports go one way
# only. `surgery` and `analysis` are libraries of their own.
MAY_IMPORT = {
    "surgery": (),
    "analysis": (),
    "errors": ("analysis",),  # how foreign names are shown
    "imagenet": (),
    "reading": ("errors",),
    "objectives": ("surgery",),
    "models": ("errors", "imagenet", "reading"),
    "data": ("errors", "imagenet", "reading"),
    "strategies": ("errors", "reading", "objectives", "surgery"),
    "config": ("errors", "reading", "strategies", "data"),
    "training": ("errors", "reading", "config", "strategies", "surgery", "data"),
    "command_line": ("errors", "reading", "config", "training"),
    "run": ("errors", "command_line", "config", "strategies", "training", "models", "data"),
    "predict": ("errors", "reading", "command_line", "config", "training", "models", "data"),
    "fitting": ("errors", "config", "strategies", "training", "models", "data", "run", "predict"),
    "__main__": ("command_line", "run"),
}


def modules(root, package):
    """The modules of a package by name."""
    for path in (root / package).rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(root, package):
    """Module -> the modules of the same tree that it imports."""
    known = dict(modules(root, package))
    found = {}
    for name, path in known.items():
        found[name] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: a relative import"
                # A name is a module, or something in the module that it comes from.
                full = [f"{node.module}.{alias.name}" for alias in node.names]
                targets = [target if target in known else node.module for target in full]
            else:
                continue
            found[name] |= {target for target in targets if target in known and target != name}
    return found


def room(module):
    """The room that a module is in; none for the package itself."""
    return module.split(".")[1] if "." in module else None


def wrong_arrows(found, may_import):
    """The imports from one room into another that the table does not allow."""
    arrows = [(module, target) for module, targets in found.items() for target in targets]
    rooms = [(module, target, room(module), room(target)) for module, target in arrows]
    return sorted(
        f"{module} imports {target}"
        for module, target, here, there in rooms
        if here != there and there is not None and there not in may_import.get(here, ())
    )


def test_no_arrow_upward():
    found = imports(ROOT, "dg_jax")
    assert {room(module) for module in found} - {None} == MAY_IMPORT.keys()
    assert not [arrow for arrow in wrong_arrows(found, MAY_IMPORT) if not arrow.startswith("dg_jax imports")]


def test_the_table_has_no_circle_and_no_arrow_that_nobody_takes():
    graphlib.TopologicalSorter(MAY_IMPORT).prepare()
    found = imports(ROOT, "dg_jax")
    taken = {(room(module), room(target)) for module, targets in found.items() for target in targets}
    assert {(here, there) for here, below in MAY_IMPORT.items() for there in below} <= taken


def test_no_circle_of_modules():
    found = imports(ROOT, "dg_jax")
    del found["dg_jax"]  # it imports lazily, when a name is first used
    graphlib.TopologicalSorter(found).prepare()
    everything = imports(ROOT, "experiments")
    graphlib.TopologicalSorter(everything).prepare()


def test_the_library_does_not_know_the_experiments():
    for _, path in modules(ROOT, "dg_jax"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            assert not [name for name in names if name.partition(".")[0] in ("experiments", "tests")], path


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"surgery/agr.py": "from dg_jax import errors"}, ["dg_jax.surgery.agr imports dg_jax.errors"]),
        ({"analysis/table.py": "def f():\n    import dg_jax.errors"}, ["dg_jax.analysis.table imports dg_jax.errors"]),
        (
            {"data/a.py": "from dg_jax.training.loop import train", "training/loop.py": "train = 1"},
            ["dg_jax.data.a imports dg_jax.training.loop"],
        ),
        ({"training/loop.py": "from dg_jax import errors", "training/a.py": "from dg_jax.training import loop"}, []),
    ],
)
def test_an_arrow_upward_is_found(files, expected, tmp_path):
    for name, text in ({"__init__.py": "", "errors.py": ""} | files).items():
        path = tmp_path / "dg_jax" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert wrong_arrows(imports(tmp_path, "dg_jax"), MAY_IMPORT) == expected


def test_a_circle_is_found(tmp_path):
    for name, other in (("a", "b"), ("b", "a")):
        path = tmp_path / "dg_jax/data" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"from dg_jax.data import {other}")
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(imports(tmp_path, "dg_jax")).prepare()
