"""The switch ``DG_JAX_PLAIN``."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dg_jax.models import fast
from dg_jax.models.fast import large
from tests import programs, quick
from tests.models import networks

SIZES = {"small_cnn": (8, 32), "alexnet": (2, 95)}  # images and their extent


def operations_of(name):
    """The operations of a network by platform."""
    params, apply_fn = networks.random(name, 5)
    count, size = SIZES[name]
    shape = jax.ShapeDtypeStruct((count, size, size, 3), jnp.float32)
    return {platform: programs.operations(apply_fn, params, shape, platform=platform) for platform in ("cpu", "cuda")}


def logits_and_gradients(name):
    params, apply_fn = networks.random(name, 5)
    count, size = SIZES[name]
    rng = np.random.default_rng(0)
    images, weights = rng.normal(size=(count, size, size, 3)).astype(np.float32), rng.normal(size=(count, 5))

    def loss(params, images):
        logits = apply_fn(params, images)
        return jnp.sum(logits * weights), logits

    gradients, logits = quick.jit(jax.grad(loss, has_aux=True))(params, images)
    paths = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(gradients)}
    return {"logits": logits, **paths}


def save(folder):
    """Called in the process that has the switch on."""
    assert fast.PLAIN
    for name in SIZES:
        np.savez(f"{folder}/{name}", **logits_and_gradients(name))
        (pathlib.Path(folder) / f"{name}.json").write_text(json.dumps(operations_of(name)))


@pytest.fixture(scope="module")
def plainly(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    code = f"from tests.models.fast import test_plain; test_plain.save({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "DG_JAX_PLAIN": "1"}, check=True)
    values = {name: dict(np.load(folder / f"{name}.npz")) for name in SIZES}
    return {name: (values[name], json.loads((folder / f"{name}.json").read_text())) for name in SIZES}


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("multiplications", [0, 1e9])
def test_fast_and_plain_networks_give_the_same_up_to_rounding(monkeypatch, plainly, name, multiplications):
    monkeypatch.setattr(large, "LARGE", multiplications)
    ours, (expected, _) = logits_and_gradients(name), plainly[name]
    assert ours.keys() == expected.keys()
    for leaf, values in ours.items():
        assert np.linalg.norm(values - expected[leaf]) < 1e-5 * np.linalg.norm(expected[leaf]), leaf


@pytest.mark.parametrize(("name", "convolutions", "poolings"), [("small_cnn", 3, 0), ("alexnet", 5, 3)])
def test_the_switch_takes_the_plain_forms_alone(plainly, name, convolutions, poolings):
    _, operations = plainly[name]
    assert operations["cpu"] == operations["cuda"]
    assert operations["cpu"]["convolution"] == convolutions
    assert operations["cpu"].get("reduce_window", 0) == poolings
    assert not fast.PLAIN
    assert operations_of(name)["cpu"] != operations["cpu"]


@pytest.mark.parametrize(("value", "is_on"), [("", False), ("0", False), ("1", True)])
def test_values_of_the_switch(value, is_on):
    code = "from dg_jax.models import fast; print(fast.PLAIN, fast.convolve is fast.plain.convolve)"
    env = {**os.environ, "DG_JAX_PLAIN": value}
    result = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True)
    assert result.stdout.split() == [str(is_on)] * 2
