"""The rules on the Gramian in float64 on many kinds of matrices, to 1e-6: against references, optima and properties.

The kinds are those on which combiners fail: gradients that cancel, are linearly dependent, or conflict.
"""

import jax
import numpy as np
import pytest
from scipy import optimize

from dg_jax import surgery
from tests import quick
from tests.surgery import reference

ALL = {
    "mgda": surgery.mgda(),
    "upgrad": surgery.upgrad(),
    "dualproj": surgery.dualproj(),
    "cagrad": surgery.cagrad(0.5),
    "imtl_g": surgery.imtl_g(),
    "conflict_free": surgery.conflict_free(),
    "aligned_mtl": surgery.aligned_mtl(),
    "nash_mtl": surgery.nash_mtl(),
}
WIDTH = 30


def normal(seed, n, m):
    return np.random.default_rng([seed, n, m]).normal(size=(n, m))


def strongly_stationary(seed, n, m):
    """A combination with all weights above 0 is zero."""
    rows = normal(seed, n, m)
    rows[-1] = -np.random.default_rng(seed).uniform(0.2, 1, n - 1) @ rows[:-1]
    return rows


def weakly_stationary(seed, n, m):
    """Only some gradients cancel."""
    rows = normal(seed, n, m)
    rows[1] = -0.7 * rows[0] - 0.4 * rows[2]
    return rows


KINDS = {
    "normal": normal,
    "one row": lambda seed, n, m: normal(seed, 1, m),
    "one column": lambda seed, n, m: normal(seed, n, 1),
    "more rows than columns": lambda seed, n, m: normal(seed, n, n // 2),
    "rank one": lambda seed, n, m: np.outer(normal(seed, 1, n)[0], normal(seed, 1, m)[0]),
    "conflicting": lambda seed, n, m: (lambda rows: rows - 0.95 * rows.mean(axis=0))(normal(seed, n, m)),
    "strongly stationary": strongly_stationary,
    "weakly stationary": weakly_stationary,
}
INDEPENDENT = ("normal", "one row", "conflicting")
MATRICES = {(kind, n): KINDS[kind](3, n, m) for kind in KINDS for n, m in ((3, 4), (9, 11), (20, 30))}


@quick.jit
def _updated(stacked):
    return {name: combiner.update(stacked, combiner.init(None))[0] for name, combiner in ALL.items()}


@pytest.fixture(scope="module")
def results():
    """The result of each rule on each matrix; columns of zeros are added, so that each N compiles one program."""
    with reference.enable_x64(True):
        found = {}
        for key, rows in MATRICES.items():
            filled = np.zeros((len(rows), WIDTH))
            filled[:, : rows.shape[1]] = rows
            made = jax.device_get(_updated(filled))
            assert {result.dtype for result in made.values()} == {np.dtype(np.float64)}
            found[key] = {name: result[: rows.shape[1]] for name, result in made.items()}
        return found


def shortest(rows):
    """The point of the convex hull that is nearest to zero: a least-squares problem with one heavy equation."""
    heavy = 1e6 * np.abs(rows).max()
    weights = optimize.nnls(np.vstack([rows.T, np.full(len(rows), heavy)]), np.append(np.zeros(rows.shape[1]), heavy))[
        0
    ]
    return weights / weights.sum() @ rows


def projected(rows, vector):
    return vector + rows.T @ optimize.nnls(rows.T, -vector)[0]


def pinv(matrix):
    """Keeps the eigenvalues above N eps times the largest; the rules keep those above 10 N eps."""
    return np.linalg.pinv(matrix, rcond=len(matrix) * np.finfo(float).eps, hermitian=True)


def conflict_free(rows):
    units = rows / np.linalg.norm(rows, axis=1)[:, None]
    direction = pinv(units @ units.T).sum(axis=0) @ units
    direction /= np.linalg.norm(direction)
    return (rows @ direction).sum() * direction


def imtl_g(rows):
    norms = np.linalg.norm(rows, axis=1)
    weights = pinv((rows @ rows.T) / np.outer(norms, norms)).sum(axis=0) / norms
    return weights / weights.sum() @ rows


def aligned_mtl(rows):
    values, vectors = np.linalg.eigh(rows @ rows.T)
    kept = values > values[-1] * len(rows) * np.finfo(float).eps
    values, vectors = values[kept], vectors[:, kept]
    return vectors / np.sqrt(values) * np.sqrt(values.min()) @ vectors.T @ np.full(len(rows), 1 / len(rows)) @ rows


def largest_smallest_gain(rows, mean, c=0.5):
    """The largest t for which a direction in the ball around the mean has all inner products at least t, by SLSQP."""
    n, m = rows.shape
    in_ball = {
        "type": "ineq",
        "fun": lambda x: c**2 * mean @ mean - (x[:m] - mean) @ (x[:m] - mean),
        "jac": lambda x: np.append(-2 * (x[:m] - mean), 0),
    }
    gains = {
        "type": "ineq",
        "fun": lambda x: rows @ x[:m] - x[m],
        "jac": lambda x: np.hstack([rows, -np.ones((n, 1))]),
    }
    found = optimize.minimize(
        lambda x: -x[m],
        np.append(mean, (rows @ mean).min()),
        jac=lambda x: np.append(np.zeros(m), -1),
        constraints=[in_ball, gains],
        method="SLSQP",
        options={"maxiter": 1000, "ftol": 1e-13},
    )
    direction = mean + (found.x[:m] - mean) * min(1, c * np.linalg.norm(mean) / np.linalg.norm(found.x[:m] - mean))
    return (rows @ direction).min()


STATEMENTS = {
    "upgrad": lambda rows: np.mean([projected(rows, row) for row in rows], axis=0),
    "dualproj": lambda rows: projected(rows, rows.mean(axis=0)),
}
OF_INDEPENDENT = {"conflict_free": conflict_free, "imtl_g": imtl_g, "aligned_mtl": aligned_mtl}


@pytest.mark.parametrize("key", MATRICES, ids=str)
def test_values(results, key):
    rows, found = MATRICES[key], results[key]
    size = np.abs(rows).max()
    statements = STATEMENTS | (OF_INDEPENDENT if key[0] in INDEPENDENT else {})
    for name, statement in statements.items():
        np.testing.assert_allclose(found[name], statement(rows), rtol=0, atol=1e-6 * size, err_msg=name)
    # MGDA: no point of the convex hull is nearer to zero.
    assert np.linalg.norm(found["mgda"]) <= np.linalg.norm(shortest(rows)) + 1e-6 * size


@pytest.mark.parametrize("key", MATRICES, ids=str)
def test_what_is_promised(results, key):
    rows, found = MATRICES[key], results[key]
    norms, size = np.linalg.norm(rows, axis=1), np.abs(rows).max()
    promising = ("mgda", "upgrad", "dualproj", *(("conflict_free", "nash_mtl") if key[0] in INDEPENDENT else ()))
    for name in promising:
        assert (rows @ found[name] / norms).min() >= -1e-6 * size, name
    # CAGrad: it lies in its ball, and its smallest gain is at least the largest that SLSQP finds there.
    mean = rows.mean(axis=0)
    assert np.linalg.norm(found["cagrad"] - mean) <= 0.5 * np.linalg.norm(mean) * (1 + 1e-6) + 1e-6 * size
    assert (rows @ found["cagrad"]).min() >= largest_smallest_gain(rows, mean) - 1e-6 * size**2
    if key[0] in INDEPENDENT:
        units = rows / norms[:, None]
        for name in ("imtl_g", "conflict_free"):  # equal projections
            assert np.ptp(units @ found[name]) <= 1e-6 * np.abs(units @ found[name]).max(), name
        gains = rows @ found["nash_mtl"]  # G a = 1 / a, where a are the weights of the rows
        weights = np.linalg.lstsq(rows.T, found["nash_mtl"], rcond=None)[0]
        np.testing.assert_allclose(gains * weights, 1, rtol=1e-5)
    else:
        assert all(np.isfinite(result).all() for result in found.values())
