"""A network and domain batches small enough to try every objective on."""

import jax
import jax.numpy as jnp
import numpy as np

PIXELS = (2, 2, 3)
CLASSES = 4
KEY = jax.random.key(0)


def parameters(seed=0, hidden=7):
    """Weights of dense, ReLU, dense; float32."""
    rng = np.random.default_rng(seed)
    shapes = {"w1": (12, hidden), "b1": (hidden,), "w2": (hidden, CLASSES), "b2": (CLASSES,)}
    return {name: jnp.asarray(rng.normal(size=shape) * 0.5, jnp.float32) for name, shape in shapes.items()}


def apply_fn(params, images, *, key, train):
    del key, train
    hidden = jax.nn.relu(images.reshape(len(images), -1) @ params["w1"] + params["b1"])
    return hidden @ params["w2"] + params["b2"]


def apply_with_dropout(params, images, *, key, train):
    assert train
    keep = jax.random.bernoulli(key, 0.5, images.shape)
    return apply_fn(params, images * keep, key=None, train=train)


def domain_batch(n=3, size=5, seed=0):
    """Domains of different means. Five images: the even half has three, the odd half two."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(n, 1, *PIXELS))
    return {
        "image": jnp.asarray(means + rng.normal(size=(n, size, *PIXELS)), jnp.float32),
        "label": jnp.asarray(rng.integers(CLASSES, size=(n, size)), jnp.int32),
    }


def with_other_images(batch, domain, seed=99):
    """The batch in which one domain has other images."""
    other = np.random.default_rng(seed).normal(size=batch["image"].shape[1:]).astype(np.float32)
    return batch | {"image": batch["image"].at[domain].set(other)}


def evaluate(objective, batch, key=KEY, step=0):
    """Losses and rows at the parameters of this file."""
    return objective(parameters(), batch, key=key, step=step)


def changed_rows(objective, batch, other_batch):
    """For each row whether its loss and its gradient differ between two batches; both must tell the same."""
    losses, rows = evaluate(objective, batch)
    other_losses, other_rows = evaluate(objective, other_batch)
    by_loss = [bool(a != b) for a, b in zip(losses, other_losses, strict=True)]
    by_gradient = [bool(jnp.any(a != b)) for a, b in zip(rows["w1"], other_rows["w1"], strict=True)]
    assert by_loss == by_gradient
    return by_loss
