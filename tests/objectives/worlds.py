"""A network and domain batches that are small enough to test every objective."""

import functools

import jax
import numpy as np

from tests import quick

PIXELS = (2, 2, 3)
CLASSES = 4
KEY = jax.random.key(0)


def parameters(seed=0, hidden=7):
    """Weights of dense, ReLU, dense; float32."""
    rng = np.random.default_rng(seed)
    shapes = {"w1": (12, hidden), "b1": (hidden,), "w2": (hidden, CLASSES), "b2": (CLASSES,)}
    return {name: (rng.normal(size=shape) * 0.5).astype(np.float32) for name, shape in shapes.items()}


def apply_fn(params, images, *, key, train):
    del key, train
    hidden = jax.nn.relu(images.reshape(len(images), -1) @ params["w1"] + params["b1"])
    return hidden @ params["w2"] + params["b2"]


def features_fn(params, images, *, key, train):
    return jax.nn.relu(images.reshape(len(images), -1) @ params["w1"] + params["b1"])


def head_fn(params, features):
    return features @ params["w2"] + params["b2"]


def apply_with_dropout(params, images, *, key, train):
    """Dropout 0.5 of at most 64 numbers: the bits of the key are the mask, which compiles fast and needs no draw."""
    assert train
    keep = (jax.random.key_data(key)[:, None] >> np.arange(32, dtype=np.uint32)) & 1
    keep = keep.reshape(64)[: images.size].reshape(images.shape)
    return apply_fn(params, images * keep, key=None, train=train)


def domain_batch(n=3, size=5, seed=0):
    """Domains with different means. Of five images, the even half has three, the odd half two."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(n, 1, *PIXELS))
    return {
        "image": (means + rng.normal(size=(n, size, *PIXELS))).astype(np.float32),
        "label": rng.integers(CLASSES, size=(n, size)).astype(np.int32),
    }


def with_other_images(batch, domain, seed=99):
    """A batch in which one domain has other images."""
    images = batch["image"].copy()
    images[domain] = np.random.default_rng(seed).normal(size=images.shape[1:])
    return batch | {"image": images}


@functools.cache
def jitted(objective):
    return quick.jit(objective)


def evaluate(objective, batch, key=KEY, step=0):
    """Losses and rows at the parameters of this file, in NumPy."""
    return jax.device_get(jitted(objective)(parameters(), batch, key=key, step=step))


def changed_rows(objective, batch, other_batch):
    """For each row, whether its loss and its gradient differ between two batches; both answers must be equal."""
    losses, rows = evaluate(objective, batch)
    other_losses, other_rows = evaluate(objective, other_batch)
    by_loss = [bool(a != b) for a, b in zip(losses, other_losses, strict=True)]
    by_gradient = [bool(np.any(a != b)) for a, b in zip(rows["w1"], other_rows["w1"], strict=True)]
    assert by_loss == by_gradient
    return by_loss
