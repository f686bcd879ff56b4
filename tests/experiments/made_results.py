"""A results directory with made-up results of every kind; some have names that are HTML."""

import json
import pathlib

import numpy as np
import pytest

from experiments import domain_control, grid_search
from experiments.table1 import __main__ as table1
from tests.experiments import made_runs

# Names of folders, so none has a slash.
HOSTILE = ("<img src=x onerror=alert(1)>", '"><svg onload=alert(2)>', "a & b $x_1$ {{ 7 * 7 }}")
MESSAGE = "</script><script>alert(3)</script>"
EMOJI = ("--dataset=emoji", "--domains", *made_runs.DOMAINS)
FOLDER = ("--dataset=folder", "--strategies", "deep_all", "irm", "--seeds=2")


def make(folder: pathlib.Path) -> pathlib.Path:
    """Makes a results directory in an empty folder, and returns it."""
    results, tree = folder / "results", folder / "tree"
    for domain in HOSTILE:
        (tree / domain / "dog").mkdir(parents=True)
        (tree / domain / "dog" / "one.png").touch()
    with pytest.MonkeyPatch.context() as monkeypatch:
        made_runs.MadeRuns(monkeypatch)
        for module, flags in (
            (table1, [*EMOJI, "--strategies", "deep_all", "agr_sum", "irm", "--seeds=7"]),
            (domain_control, [*EMOJI, "--strategies", "agr_sum", "--targets", "apple", "windows", "--seeds=7"]),
            (
                grid_search,
                [*EMOJI, "--strategies", "agr_sum", "--targets", "apple", "--seeds=2", "--learning-rates", "1e-4"],
            ),
            (table1, [*FOLDER, f"--data-dir={tree}"]),
        ):
            assert module.main([f"--results-dir={results}", *flags]) == 0
    for path in results.glob("*/*/*/seed-*"):
        write_metrics(path)
    with_versions = results / "emoji/apple/agr_sum/seed-3/result.json"
    with_versions.write_text(
        json.dumps(json.loads(with_versions.read_text()) | {"versions": {"jax": MESSAGE}, "device": "TPU v9"})
    )
    write_similarity(results / "gradient_similarity/folder" / HOSTILE[0] / "seed-0.json")
    (results / "emoji/google/irm/seed-6/result.json").unlink()
    (results / "emoji/google/irm/seed-5/result.json").write_text("{")
    return results


def write_metrics(run: pathlib.Path) -> None:
    """Writes three validations of a run."""
    lines = ({"step": step, "val_accuracy": 0.2 + step / 1000, "val_loss": 1.0} for step in (20, 40, 60))
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_similarity(path: pathlib.Path, **changes) -> None:
    """Writes measurements of gradient similarity at three steps."""
    rng = np.random.default_rng(0)
    measured = {
        "settings": {"sources": list(HOSTILE[1:]), "iterations": 300, "every": 150, "per_domain": 16},
        "inputs": {},
        "layers": [MESSAGE, "dense.kernel"],
        "steps": [0, 150, 300],
        "intra": rng.random(3).tolist(),
        "inter": rng.random(3).tolist(),
        "domains": rng.random((3, 3, 3)).tolist(),
        "agreement": rng.random((3, 2)).tolist(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(measured | changes))
