"""Reference versions of the combiners in NumPy and float64, and random stacks to test them on."""

import jax
import numpy as np
from hypothesis import strategies as st

# Before JAX 0.8 it is in jax.experimental.
enable_x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else __import__("jax.experimental").experimental.enable_x64

ZEROS = ("agree", "conflict", "abstain")


def agree(rows, zeros="agree"):
    """Eq. 2, component by component: rows [N, n] -> bool [n]."""
    signs = np.sign(rows)
    if zeros == "abstain":
        return ~((signs == 1).any(axis=0) & (signs == -1).any(axis=0))
    same = (signs == signs[0]).all(axis=0)
    if zeros == "agree" or len(rows) == 1:
        return same
    return same & (rows != 0).all(axis=0)


def votes(rows, zeros="agree"):
    """Which components count for σ and the agreement."""
    return (rows != 0).any(axis=0) if zeros == "abstain" else np.ones(rows.shape[1], bool)


def agreement(rows, zeros="agree"):
    """The share of agreeing components among those that vote."""
    counted = agree(rows, zeros)[votes(rows, zeros)]
    return counted.mean() if counted.size else 1.0


def agr_sum(rows, zeros="agree"):
    """Eq. 3."""
    return np.where(agree(rows, zeros), rows.sum(axis=0), 0)


def sigma(rows, zeros="agree"):
    """Section 3.2: mean absolute value of the agreeing components of the sum."""
    agreeing = rows.sum(axis=0)[agree(rows, zeros) & votes(rows, zeros)]
    return np.abs(agreeing).mean() if agreeing.size else 0.0


def project(rows, i, order):
    """Eq. 5: gradient i, projected off the others that it conflicts with, in the given order."""
    gradient = rows[i].copy()
    for j in order:
        if j == i or not rows[j].any():
            continue
        inner = gradient @ rows[j]
        if inner < 0:
            gradient -= inner / (rows[j] @ rows[j]) * rows[j]
    return gradient


def pcgrad(rows, orders):
    return sum(project(rows, i, orders[i]) for i in range(len(rows)))


# Each pair of N and leaves compiles a program of its own, so only some pairs are here.
SHAPES = [
    (1, [()]),
    (2, [(1,)]),
    (3, [(3, 5), (2, 3, 4), ()]),
    (4, [(7,), (0,)]),
    (5, [()]),
    (16, [(7,), (0,)]),
]
# Without jit, each operation compiles a program for each shape.
EAGER_SHAPES = [(1, [()]), (3, [(2, 3, 4), ()]), (4, [(7,), (0,)])]


@st.composite
def stacks(draw, scales=(1e-12, 1e-3, 1.0, 1e4, 1e12), of_shapes=SHAPES):
    """Dicts of float32 stacks [N, *shape] with conflicts, zeros, equal and opposite rows."""
    n, shapes = draw(st.sampled_from(of_shapes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from(scales))
    common = draw(st.sampled_from([0.0, 1.0, -3.0]))
    zeros = draw(st.sampled_from([0.0, 0.3, 1.0]))
    tree = {}
    for k, shape in enumerate(shapes):
        leaf = rng.normal(common, 1.0, (n, *shape)) * scale
        leaf[rng.random((n, *shape)) < zeros] = 0
        tree[f"leaf{k}"] = np.asarray(leaf, np.float32)
    special = draw(st.sampled_from(["none", "zero row", "same rows", "opposite rows"]))
    for leaf in tree.values():
        if special == "zero row":
            leaf[-1] = 0
        elif special == "same rows":
            leaf[:] = leaf[:1]
        elif special == "opposite rows" and n > 1:
            leaf[1] = -leaf[0]
    return tree


def flat(tree):
    """Concatenates the leaves of a stack to [N, n] in float64, in the tree's order."""
    leaves = [np.asarray(tree[name], np.float64) for name in sorted(tree)]
    return np.concatenate([leaf.reshape(leaf.shape[0], -1) for leaf in leaves], axis=1)


def flat_result(tree):
    return np.concatenate([np.asarray(tree[name], np.float64).ravel() for name in sorted(tree)])
