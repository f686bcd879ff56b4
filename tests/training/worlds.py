"""A dataset small enough to train on in a second, and a run on it."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from dg_jax import config
from dg_jax.data import dataset
from dg_jax.training import loop, run_folder


def tiny_dataset(num_images=12, size=8, seed=0):
    """Three domains of pictures: the class is the brightness, and each domain has its own tint."""
    rng = np.random.default_rng(seed)
    domains = {}
    for k, domain in enumerate(("apple", "google", "windows")):
        parts = {}
        for part, n in (("train", num_images), ("validation", 5), ("test", 7)):
            label = rng.integers(0, 3, n).astype(np.int32)
            image = rng.integers(0, 60, (n, size, size, 3)) + 60 * label[:, None, None, None]
            image[..., k] += 30
            parts[part] = dataset.Part(image.astype(np.uint8), label)
        domains[domain] = parts
    return dataset.MultiDomainDataset("emoji", ("dark", "grey", "bright"), domains)


def tiny_config(results_dir: pathlib.Path, **changes) -> config.RunConfig:
    settings = {
        "dataset": "emoji",
        "domains": ("apple", "google", "windows"),
        "target": "windows",
        "iterations": 6,
        "batch_size": 4,
        "val_every": 2,
        "image_size": 8,
        "results_dir": results_dir,
    }
    return config.changed(config.RunConfig(), **(settings | changes))


def linear_model():
    """A network that is no module of any library, and quick to compile."""

    def apply_fn(params, images, *, key=None, train=False):
        features = images.mean(axis=(1, 2))
        return features @ params["kernel"] + params["bias"]

    return {"kernel": jnp.zeros((3, 3)), "bias": jnp.zeros(3)}, apply_fn


def large_model():
    """A network whose state is random numbers, and much larger than a run's other files."""

    def apply_fn(params, images, *, key=None, train=False):
        return jnp.tanh(images.reshape(len(images), -1) @ params["first"]) @ params["last"]

    keys = jax.random.split(jax.random.key(0))
    first, last = jax.random.normal(keys[0], (192, 200)) / 14, jax.random.normal(keys[1], (200, 3)) / 14
    return {"first": first, "last": last}, apply_fn


def train(run_config, model=None, data=None, hooks=(), show_progress=False):
    """Does the run from an opened folder to its result, as the command line would."""
    data = data or tiny_dataset()
    params, apply_fn = model or linear_model()
    folder = run_folder.folder_of(run_config)
    with run_folder.open_folder(run_config, folder, data.inputs, data.classes, data.example):
        return loop.train(run_config, data, params, apply_fn, folder, hooks=hooks, show_progress=show_progress)


def last_state(run_config):
    """Returns the arrays of the last checkpoint, as NumPy, by path."""
    manager = ocp.CheckpointManager((run_folder.folder_of(run_config).checkpoints / "last").absolute())
    restored = manager.restore(manager.latest_step(), args=ocp.args.Composite(state=ocp.args.StandardRestore()))
    manager.close()

    def plain(leaf):
        is_key = hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf)

    leaves = jax.tree_util.tree_leaves_with_path(restored["state"])
    return {jax.tree_util.keystr(path): plain(leaf) for path, leaf in leaves}


def assert_same_but_for_signs(got, wanted, what):
    """Compares sums in another order, where a few signs may depend on rounding, and so which components are cut."""
    got, wanted = np.asarray(got, np.float64), np.asarray(wanted, np.float64)
    far = ~np.isclose(got, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max(initial=0))
    assert np.mean(far) < 1e-3, f"{what}: {np.sum(far)} of {far.size}"
    assert np.linalg.norm(got - wanted) <= 1e-3 * np.linalg.norm(wanted), what
