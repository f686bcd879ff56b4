"""Checks what docs/family.md says of each combiner: a yes must hold on all stacks, a no must fail on at least one."""

import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax import surgery
from tests import quick

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "family.md"
N = 4
NEEDED = {
    "krum": {"byzantine": 0},
    "weighted": {"weights": [1.0, 2.0, 0.5, 1.0]},
    "gga_l": {"gamma": 0.3},
    "sand_mask": {"threshold": 0.4},  # so that three of four signs are enough
}
LOSSES = np.array([0.3, 2.0, 1.0, 0.5], np.float32)


def stated():
    """The rows of the page's table: combiner -> column -> entry."""
    table = PAGE.read_text().partition("\n- ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    rows = [[entry.strip() for entry in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[1:]}


TABLE = stated()


@quick.jit
def results(stacked, losses):
    """The result of each combiner on a stack in its first update."""
    combiners = {name: getattr(surgery, name)(**NEEDED.get(name, {})) for name in TABLE}
    made = {name: one.update(stacked, one.init(None), losses=losses)[0] for name, one in combiners.items()}
    return {name: result.astype(jnp.float32) for name, result in made.items()}


def updated(rows, losses=LOSSES):
    made = results(jnp.asarray(rows, jnp.float32), losses)
    return {name: np.asarray(result, np.float64) for name, result in made.items()}


def stacks():
    """Gradients with a common part, independent ones, ones that conflict, and a short one among others."""
    for seed in range(24):
        rng = np.random.default_rng(seed)
        rows, noise = rng.normal(size=(N, 10)), rng.normal(size=10)
        lengths = 10.0 ** rng.uniform(-1, 1, (N, 1))
        if seed % 4 == 0:
            yield lengths * (rows + noise)
        elif seed % 4 == 1:
            yield lengths * rows
        elif seed % 4 == 2:
            yield lengths * (rows - 0.8 * rows.mean(axis=0))
        else:
            yield np.concatenate([0.03 * (rows[1:].sum(axis=0) + 0.5 * noise)[None], rows[1:] + 0.3 * noise])


def is_close(one, other):
    return np.abs(one - other).max() <= 5e-3 * max(np.abs(other).max(), 1e-9)


def check(holds, column):
    """Compares what was found on all stacks, name -> list of booleans, with the entries yes and no of a column."""
    for name, entries in TABLE.items():
        assert entries[column] in ("yes", "no"), (name, column)
        assert all(holds[name]) == (entries[column] == "yes"), (name, column, holds[name])


def test_the_table_has_every_combiner():
    made = {name for name in surgery.__all__ if name[0].islower()}
    assert {*TABLE} == made - {
        "accumulate",
        "agreement",
        "diagnostics",
        "every",
        "value_and_grads",
        "value_and_jacobian",
    }


def test_which_conflict_with_no_gradient():
    holds = {name: [] for name in TABLE}
    for rows in stacks():
        for name, result in updated(rows).items():
            cosines = rows @ result / np.linalg.norm(rows, axis=1) / max(np.linalg.norm(result), 1e-30)
            holds[name].append(cosines.min() > -2e-3)
    check(holds, "conflicts with none")


def test_which_do_not_depend_on_the_order_of_the_gradients():
    holds = {name: [] for name in TABLE}
    for rows in stacks():
        order = [2, 0, 3, 1]
        one, other = updated(rows), updated(rows[order], LOSSES[order])
        for name in TABLE:
            holds[name].append(is_close(other[name], one[name]))
    check(holds, "any order")


def test_what_the_length_of_one_gradient_does():
    """Linear: the result is linear in the factors on the gradients; none: it does not depend on them."""
    linear, none = ({name: [] for name in TABLE} for _ in range(2))
    for rows in stacks():
        factors = np.random.default_rng(7).uniform(0.3, 3, (2, N, 1))
        one, other, both = (updated(factor * rows) for factor in (*factors, factors.sum(axis=0)))
        for name in TABLE:
            linear[name].append(is_close(one[name] + other[name], both[name]))
            none[name].append(is_close(one[name], other[name]))
    for name, entries in TABLE.items():
        found = "linear" if all(linear[name]) else "none" if all(none[name]) else "other"
        assert found == entries["a gradient's length"], name


@pytest.mark.parametrize("k", [1e-6, 64.0, 1e6])
def test_how_the_result_scales_with_all_gradients(k):
    rows = next(stacks())
    one, other = updated(rows), updated(k * rows)
    for name, entries in TABLE.items():
        if entries["all k times"] == "other":
            assert not any(is_close(other[name], k**degree * one[name]) for degree in (0, 1)), name
        else:
            assert is_close(other[name], k ** float(entries["all k times"]) * one[name]), name


def test_what_equal_gradients_give():
    row = np.array([3.0, -1.0, 2.0, 1.0, -2.0, 1.0, 1.0, 2.0, 1.0, -1.0])
    for name, result in updated(np.tile(row, (N, 1))).items():
        of_nash = np.sqrt(N) / np.linalg.norm(row)
        factors = {"g": 1, "N g": N, "(1 + c) g": 1.5, "√N g / ‖g‖": of_nash, "g times Σ w": 4.5}
        assert is_close(result, factors[TABLE[name]["N times g give"]] * row), name
