"""Deep-All training that pauses at intervals to measure gradients of single domains and samples."""

import time
from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from dg_jax import errors, objectives, surgery
from dg_jax.analysis import gram, similarity
from dg_jax.config import RunConfig
from dg_jax.data import dataset, feed, sampling
from dg_jax.objectives import loss
from dg_jax.training import advance, backend, drive, frozen, interrupt, step


class Probe:
    """Measures a network. One object serves all runs with the same ``apply_fn``, so that it is compiled once."""

    def __init__(self, apply_fn, frozen_layers: Sequence[str] = ()):
        """Takes ``apply_fn(params, images, *, key, train) -> logits``, and the layers that are not measured."""

        def gradients(params, samples):
            trained, network = frozen.of_trained(apply_fn, params, frozen_layers)

            def sample_loss(trained, sample):
                logits = network(trained, sample["image"][None], key=None, train=False)
                return loss.cross_entropy(logits, sample["label"][None])

            return surgery.value_and_grads(sample_loss)(trained, samples)[1]

        self._gram = gram.make_gram(gradients)

        def agreement_by_leaf(params, domain_batch, key):
            trained, network = frozen.of_trained(apply_fn, params, frozen_layers)
            _, stacked = objectives.erm(network)(trained, domain_batch, key=key, step=0)
            return [jnp.mean(phi) for phi in jax.tree.leaves(surgery.agreement(stacked))]

        self._agreement_by_leaf = jax.jit(agreement_by_leaf, compiler_options=backend.compiler_options())

    def similarity(self, params: chex.ArrayTree, parts: list[dataset.Part]) -> similarity.Similarity:
        """Returns the mean cosines of the cross-entropy's per-sample gradients, without dropout.

        Args:
            params: the network's parameters.
            parts: images of one class, by domain.
        """
        pooled = dataset.concatenate(parts)
        samples = {"image": np.asarray(sampling.network_input(pooled.image)), "label": pooled.label}
        domain = np.repeat(np.arange(len(parts)), [len(part.label) for part in parts])
        return similarity.mean_cosines(self._gram(params, samples), domain)

    def agreement(self, params: chex.ArrayTree, domain_batch: dict, key: chex.PRNGKey) -> list[float]:
        """Returns the fraction of agreeing components (eq. 2) of each trained leaf, with dropout drawn from ``key``."""
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
                    f"{data.name}: {domain} has {count} training images of class {name!r}, and a pair needs two; "
                    "add images, or leave the domain out with --domains"
                )


def draw_class(
    data: dataset.MultiDomainDataset, per_domain: int, rng: np.random.Generator
) -> tuple[int, list[dataset.Part]]:
    """Draws a class, and images of it from each domain's training part, without replacement.

    Args:
        data: with at least two images of each class in each domain.
        per_domain: how many images; all if there are fewer.
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
        params: initial parameters; after the first step they cannot be used any more.
        apply_fn: ``apply_fn(params, images, *, key, train) -> logits``.
        probe: made for the same network.
        every: steps between two measurements.
        per_domain: images of one class from each source in a measurement.
        report: called with the number of steps taken, after each step.

    Returns:
        The measurements, in lists with an entry for each, and how they were made. JSON can hold them.

    Raises:
        RunError: a gradient is not finite.
    """
    start = time.monotonic()
    batches = step.domain_batches(config, [data.domains[domain]["train"] for domain in config.sources])
    trainer = step.make_trainer(config, apply_fn, params, batches)
    measurement = _Measurement(config, data, probe, batches, every, per_domain, report)
    state = trainer.init(params)
    measurement.on_pause(state)
    take_steps = advance.Advance(trainer.step, batches, 0)
    with interrupt.StopRequest() as stop:
        state, _ = drive.drive(
            take_steps, state, config.optimisation.iterations, [measurement], sources=[config.sources], stop=stop
        )
    if config.optimisation.iterations % every:
        measurement.on_pause(state)
    return {
        "layers": layer_names(frozen.split(state.params, config.network.frozen_layers)[0]),
        **measurement.measured,
        "wall_seconds": time.monotonic() - start,
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
    }


class _Measurement(drive.Hook):
    """Measures the network at its pauses; ``measured`` holds a list with an entry for each, by what was measured."""

    def __init__(
        self,
        config: RunConfig,
        data: dataset.MultiDomainDataset,
        probe: Probe,
        batches: feed.Feed,
        every: int,
        per_domain: int,
        report: Callable[[int], None],
    ):
        self.every = every
        names = ("steps", "classes", "intra", "inter", "domains", "agreement")
        self.measured: dict[str, list] = {name: [] for name in names}
        self._config, self._data, self._probe, self._batches = config, data, probe, batches
        self._per_domain, self._report = per_domain, report

    def on_step(self, number: int, metrics: step.StepMetrics) -> None:
        self._report(number)

    def on_pause(self, state: step.TrainState, metrics: step.StepMetrics | None = None) -> None:
        done = int(state.step)
        rng = np.random.default_rng([self._config.seed, done])
        label, parts = draw_class(self._data, self._per_domain, rng)
        cosines = self._probe.similarity(state.params, parts)
        if not np.isfinite([cosines.intra, cosines.inter]).all():
            raise errors.RunError(
                f"target {self._config.target}, seed {self._config.seed}: the gradients after step {done} are not "
                "finite, or all are zero; try a smaller --learning-rate"
            )
        domain_batch = self._batches.draw(next(self._batches.values(done)), done)
        agreement = self._probe.agreement(state.params, domain_batch, jax.random.fold_in(state.key, done))
        values = (done, self._data.classes[label], cosines.intra, cosines.inter, cosines.domains.tolist(), agreement)
        for of_name, value in zip(self.measured.values(), values, strict=True):
            of_name.append(value)
