"""Deep-All training that is stopped at intervals to measure gradients of single domains and samples."""

import time
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np

from dg_jax import backend, errors, objectives, surgery
from dg_jax.analysis import gram, similarity
from dg_jax.config import RunConfig
from dg_jax.data import dataset, feed, sampling
from dg_jax.objectives import loss
from dg_jax.training import advance, keys, step


class Probe:
    """What is measured of a network; one object serves all runs, so that it is compiled once."""

    def __init__(self, apply_fn):
        """Takes ``apply_fn(params, images, *, key, train) -> logits``."""

        def sample_loss(params, sample):
            logits = apply_fn(params, sample["image"][None], key=None, train=False)
            return loss.cross_entropy(logits, sample["label"][None])

        per_sample = surgery.value_and_grads(sample_loss)
        objective = objectives.erm(apply_fn)
        self._gram = gram.make_gram(lambda params, samples: per_sample(params, samples)[1])

        def agreement_by_leaf(params, domain_batch, key):
            _, stacked = objective(params, domain_batch, key=key, step=0)
            return [jnp.mean(phi) for phi in jax.tree.leaves(surgery.agreement(stacked))]

        self._agreement_by_leaf = jax.jit(agreement_by_leaf, compiler_options=backend.compiler_options())

    def similarity(self, params: chex.ArrayTree, parts: list[dataset.Part]) -> similarity.Similarity:
        """Returns the mean cosines of the cross-entropy's per-sample gradients, without dropout.

        Args:
            params: the network's parameters.
            parts: images of one class, by domain.
        """
        pooled = dataset.concatenate(parts)
        samples = {"image": np.asarray(sampling.normalize(pooled.image)), "label": pooled.label}
        domain = np.repeat(np.arange(len(parts)), [len(part.label) for part in parts])
        return similarity.mean_cosines(self._gram(params, samples), domain)

    def agreement(self, params: chex.ArrayTree, domain_batch: dict, key: chex.PRNGKey) -> list[float]:
        """Returns the fraction of agreeing components (eq. 2) of each leaf, with dropout drawn from ``key``."""
        return [float(fraction) for fraction in self._agreement_by_leaf(params, domain_batch, key)]


def layer_names(params: chex.ArrayTree) -> list[str]:
    """Returns the names of the leaves in their order, such as ``conv1.kernel``."""
    return [
        jax.tree_util.keystr(path, simple=True, separator=".")
        for path, _ in jax.tree_util.tree_leaves_with_path(params)
    ]


def check_classes(data: dataset.MultiDomainDataset) -> None:
    """Raises a ``UserError`` that names domain and class where there are not two training images."""
    for domain, parts in data.domains.items():
        counts = np.bincount(parts["train"].label, minlength=len(data.classes))
        for name, count in zip(data.classes, counts, strict=True):
            if count < 2:
                raise errors.UserError(
                    f"{data.name}: {domain} has {count} training images of class {name!r}, and a pair takes two; "
                    "add images, or leave the domain out with --domains"
                )


def draw_class(
    data: dataset.MultiDomainDataset, per_domain: int, rng: np.random.Generator
) -> tuple[int, list[dataset.Part]]:
    """Draws a class, and images of it from each domain's training part, without replacement.

    Args:
        data: with at least two images of each class in each domain.
        per_domain: how many images; all there are where they are fewer.
        rng: what to draw from.

    Returns:
        The label, and the images by domain.
    """
    label = int(rng.integers(len(data.classes)))
    parts = []
    for domain in data.domains.values():
        rows = np.flatnonzero(domain["train"].label == label)
        parts.append(domain["train"].read(rng.choice(rows, min(per_domain, len(rows)), replace=False)))
    return label, parts


def train(
    config: RunConfig,
    data: dataset.MultiDomainDataset,
    params: chex.ArrayTree,
    apply_fn,
    probe: Probe,
    *,
    every: int,
    per_domain: int,
    report: Callable[[int], None],
) -> dict:
    """Trains with the configuration's strategy and measures before the first step, at intervals and at the end.

    The training itself is that of :func:`dg_jax.training.loop.train`: the same batches and
    the same parameters.

    Args:
        config: a checked configuration.
        data: training parts of the sources, in their order.
        params: initial parameters, which the first step uses up.
        apply_fn: ``apply_fn(params, images, *, key, train) -> logits``.
        probe: made of the same network.
        every: steps between two measurements.
        per_domain: images of one class from each source in a measurement.
        report: called with the number of steps taken, after each step.

    Returns:
        What was measured, as JSON can hold it: lists with an entry for each measurement.

    Raises:
        RunError: a gradient is not finite.
    """
    start = time.monotonic()
    batches = feed.domain_batches(
        [data.domains[domain]["train"] for domain in config.sources],
        keys.key_for(config.seed, keys.Purpose.SAMPLING),
        config.batch_size,
    )
    trainer = step.make_trainer(config, apply_fn, params, batches)
    objective_key = keys.key_for(config.seed, keys.Purpose.OBJECTIVE)
    measured: dict = {"layers": layer_names(params)}
    measured |= {name: [] for name in ("steps", "classes", "intra", "inter", "domains", "agreement")}

    def measure(done: int) -> None:
        label, parts = draw_class(data, per_domain, np.random.default_rng([config.seed, done]))
        cosines = probe.similarity(state.params, parts)
        if not np.isfinite([cosines.intra, cosines.inter]).all():
            raise errors.RunError(
                f"target {config.target}, seed {config.seed}: the gradients after step {done} are not finite, "
                "or all are zero; try a smaller --learning-rate"
            )
        domain_batch = batches.draw(next(batches.values(done)), done)
        measured["steps"].append(done)
        measured["classes"].append(data.classes[label])
        measured["intra"].append(cosines.intra)
        measured["inter"].append(cosines.inter)
        measured["domains"].append(cosines.domains.tolist())
        measured["agreement"].append(
            probe.agreement(state.params, domain_batch, jax.random.fold_in(objective_key, done))
        )

    state = trainer.init(params)
    take_steps = advance.Advance(trainer.step, batches, 0)
    done = 0
    measure(done)
    while done < config.iterations:
        steps = take_steps(state, min(every, config.iterations - done))
        for state, _ in steps:  # noqa: B007 (measure reads it)
            done += 1
            report(done)
        measure(done)
    return measured | {
        "wall_seconds": time.monotonic() - start,
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
    }
