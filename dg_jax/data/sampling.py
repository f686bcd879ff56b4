"""Domain batches, drawn on the device (paper, section 4.2)."""

import functools
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from dg_jax import imagenet
from dg_jax.data import dataset


def network_input(
    examples: chex.Array, change: Callable[[chex.Array], chex.Array] = lambda images: images
) -> chex.Array:
    """Returns the input of the network: uint8 images changed and normalised, floats as they are.

    Args:
        examples: uint8 ``[..., 3]``; uint8 with other channels, scaled to [0, 1] but not normalised; or floats.
        change: a function that changes images in [0, 1] before they are normalised.
    """
    if examples.dtype != jnp.uint8:
        return examples
    images = change(jnp.asarray(examples).astype(float) / 255)  # NumPy would make float64 of them
    return imagenet.normalised(images) if images.shape[-1] == 3 else images


def sample_indices(key: chex.PRNGKey, step: chex.Array, num_images: int, batch_size: int) -> chex.Array:
    """Draws the ``batch_size`` images of one source at one step, without replacement within an epoch.

    A pure function of its arguments, so that a resumed run draws the same images. An epoch
    is ``num_images // batch_size`` steps long; the rest of the shuffled source is not used
    in that epoch. A source smaller than a batch is drawn from with replacement.

    Args:
        key: the source's own PRNG key.
        step: integer scalar, counted from 0.
        num_images: size of the source.
        batch_size: images to draw.

    Returns:
        Integers ``[batch_size]`` in ``[0, num_images)``, all different unless the source is smaller than a batch.
    """
    if num_images < batch_size:
        return jax.random.randint(jax.random.fold_in(key, step), (batch_size,), 0, num_images)
    epoch, start = place_in_epoch(step, num_images, batch_size)
    return jax.lax.dynamic_slice_in_dim(shuffled(key, epoch, num_images), start, batch_size)


def place_in_epoch(step: chex.Numeric, num_images: int, batch_size: int) -> tuple[chex.Numeric, chex.Numeric]:
    """Returns the epoch of a step, and where in the epoch's shuffled images its batch starts."""
    steps_per_epoch = num_images // batch_size
    return step // steps_per_epoch, step % steps_per_epoch * batch_size


def shuffled(key: chex.PRNGKey, epoch: chex.Numeric, num_images: int) -> chex.Array:
    """Returns the order of a source's images in an epoch, integers ``[num_images]``."""
    return jax.random.permutation(jax.random.fold_in(key, epoch), num_images)


def sample_domain_batch(
    sources: list[dataset.Part], key: chex.PRNGKey, step: chex.Array, batch_size: int
) -> dict[str, chex.Array]:
    """Draws one domain batch, each source by itself.

    Args:
        sources: training parts of the N sources, as arrays on the device.
        key: PRNG key of the run's sampling.
        step: integer scalar, counted from 0.
        batch_size: images B of each source.

    Returns:
        ``{"image": [N, B, H, W, 3], "label": int32 [N, B]}``, as they are in the sources.
    """
    images, labels = [], []
    for i, source in enumerate(sources):
        chosen = sample_indices(jax.random.fold_in(key, i), step, len(source.label), batch_size)
        images.append(source.image[chosen])
        labels.append(source.label[chosen])
    return {"image": jnp.stack(images), "label": jnp.stack(labels)}


def drawn_source(key: chex.PRNGKey, step: chex.Numeric, num_sources: int) -> chex.Array:
    """Draws the one source that a single-domain batch is taken from, an integer in ``[0, num_sources)``."""
    return jax.random.randint(jax.random.fold_in(jax.random.fold_in(key, num_sources), step), (), 0, num_sources)


def sample_single_domain_batch(
    sources: list[dataset.Part], key: chex.PRNGKey, step: chex.Array, batch_size: int
) -> dict[str, chex.Array]:
    """Draws a domain batch whose N rows all come from one source, drawn again at each step (paper, Figure 4).

    Arguments and result are those of :func:`sample_domain_batch`; a source with fewer than
    N · B images is drawn from with replacement.
    """
    n = len(sources)

    def draw(i):
        whole = sample_domain_batch([sources[i]], jax.random.fold_in(key, i), step, n * batch_size)
        return jax.tree.map(lambda leaf: leaf.reshape(n, batch_size, *leaf.shape[2:]), whole)

    return jax.lax.switch(drawn_source(key, step, n), [functools.partial(draw, i) for i in range(n)])
