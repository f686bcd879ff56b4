"""Every module has a test file of its own: ``dg_jax/ROOM/_name.py`` -> ``tests/ROOM/test_name.py``."""

import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]

# Modules whose tests are named after what a user sees: module -> the test files.
ELSEWHERE = {
    "dg_jax/__main__.py": ["reading/test_names.py"],  # a program of five lines, started there
    "dg_jax/surgery/_agr.py": ["surgery/test_agr_sum.py", "surgery/test_agr_rand.py"],
    "dg_jax/surgery/_combiner.py": [f"surgery/test_{what}.py" for what in ("contract", "dtypes", "errors", "wrappers")],
    "dg_jax/surgery/_components.py": ["surgery/test_and_mask.py", "surgery/test_trimmed_mean.py"],
    "dg_jax/surgery/_jacobian.py": ["surgery/test_accumulate.py", "surgery/test_value_and_grads.py"],
    "dg_jax/surgery/_mesh.py": ["surgery/test_meshes.py"],
    "dg_jax/surgery/_projections.py": ["surgery/test_pcgrad.py", "surgery/test_grad_vac.py"],
    "dg_jax/surgery/_sum.py": ["surgery/test_deep_all.py", "surgery/test_contract.py"],
    **{
        f"dg_jax/surgery/_{rule}.py": ["surgery/test_gramian.py"]
        for rule in (
            "aligned_mtl",
            "cagrad",
            "conflict_free",
            "dualproj",
            "fair_grad",
            "imtl_g",
            "mgda",
            "nash_mtl",
            "upgrad",
        )
    },
    "dg_jax/data/builder.py": ["data/test_prepared.py", "data/test_emoji.py"],
    "dg_jax/data/trees.py": ["data/test_prepared.py", "data/test_registry.py"],
    "experiments/local_executor.py": ["experiments/test_sweep.py"],
    "experiments/combiners_figure.py": ["command_line/test_packages.py"],  # draws one picture, which is committed
}


# Modules of these programs are tested with the whole program, from its flags to its files.
PROGRAMS = {
    "experiments/benchmark/rival": "experiments/benchmark/test_rival.py",
    "experiments/benchmark": "experiments/benchmark/test_main.py",
    "experiments/gradient_similarity": "experiments/gradient_similarity/test_main.py",
    "experiments/report": "experiments/report/test_main.py",
    "experiments/spirals": "experiments/spirals/test_main.py",
}


def own(module):
    """The path of the test file that mirrors a module."""
    path = pathlib.Path(module)
    folder = path.parent.relative_to("dg_jax") if path.parts[0] == "dg_jax" else path.parent
    return str(folder / f"test_{path.stem.strip('_')}.py")


MODULES = sorted(
    str(path.relative_to(ROOT))
    for package in ("dg_jax", "experiments")
    for path in (ROOT / package).rglob("*.py")
    if path.name != "__init__.py"
)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_its_tests(module):
    files = ELSEWHERE.get(module, [own(module)])
    folder = str(pathlib.Path(module).parent)
    if folder in PROGRAMS and not (ROOT / "tests" / files[0]).exists():
        files = [PROGRAMS[folder]]
    for file in files:
        assert "def test_" in (ROOT / "tests" / file).read_text()


def test_the_table_names_what_is_there_and_has_no_file_of_its_own():
    for module in ELSEWHERE:
        assert module in MODULES
        assert not (ROOT / "tests" / own(module)).exists() or own(module) in ELSEWHERE[module], module
