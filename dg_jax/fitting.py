"""Trains the caller's own network on the caller's own arrays."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from dg_jax import errors, models, predict, run, strategies
from dg_jax.config import RunConfig, changed, check_settings, with_settings
from dg_jax.data import arrays, registry, sampling
from dg_jax.training import drive, run_folder


def fit(
    apply_fn: Callable[..., chex.Array],
    params: chex.ArrayTree,
    domains: Mapping[str, tuple[Any, Any]],
    *,
    target: str,
    strategy: str = "agr_sum",
    name: str = "arrays",
    classes: Sequence[str] | None = None,
    hooks: Sequence[drive.Hook] = (),
    quiet: bool = False,
    **settings: Any,
) -> predict.TrainedNetwork:
    """Trains a network on arrays of several domains, as ``python -m dg_jax.run`` does on pictures.

    It has the same splits (70% / 10% / 20%), driver, validation, record on disk and result. With ``resume=True`` it
    goes on where it was stopped. The run is in ``RESULTS_DIR/NAME/TARGET/STRATEGY/seed-SEED``. A finished run with the
    same settings, arrays and initial parameters is not done again. The function ``apply_fn`` itself cannot be compared,
    so give another ``name`` or ``overwrite=True`` if it has changed.

    Args:
        apply_fn: ``apply_fn(params, examples) -> logits [n, classes]``, of Linen, Equinox or plain JAX. If it takes
            ``key``, a PRNG key for dropout, or ``train``, a bool, it gets these too.
        params: initial parameters, a pytree of float arrays.
        domains: for each domain its examples and labels. Examples are uint8 images ``[n, H, W, 3]``, which are
            normalised with ImageNet's mean and deviation for ``apply_fn``, or floats ``[n, ...]``, which it gets as
            float32. Labels are integers ``[n]``, counted from 0.
        target: the domain held out.
        strategy: which method.
        name: the name of the dataset on disk.
        classes: names of the classes, in the order of the labels; by default their numbers.
        hooks: see :class:`dg_jax.training.drive.Hook`.
        quiet: show no progress.
        **settings: of :class:`dg_jax.config.RunConfig`, by the names of the flags with ``_`` for ``-``:
            ``iterations=300``, ``batch_size=64``, ``learning_rate=1e-3``, ``seed=0``, ``results_dir="results"``, ….

    Returns:
        The selected network, with the run's ``result``.

    Raises:
        UserError: an array or a setting is wrong; a number is not finite; the run on disk had other settings or inputs.
        Interrupted: SIGINT or SIGTERM came; a checkpoint was left.

    Example:
        >>> import tempfile
        >>> rng = np.random.default_rng(0)
        >>> labels = rng.integers(0, 2, 60)
        >>> domains = {name: (rng.normal(size=(60, 4)) + labels[:, None], labels) for name in ("a", "b", "c")}
        >>> network = fit(
        ...     lambda params, x: x @ params["kernel"],
        ...     {"kernel": jnp.zeros((4, 2))},
        ...     domains,
        ...     target="c",
        ...     iterations=20,
        ...     batch_size=16,
        ...     results_dir=tempfile.mkdtemp(),
        ...     quiet=True,
        ... )
        >>> network.apply(jnp.zeros((5, 4))).shape
        (5, 2)
    """
    config = with_settings(RunConfig(), {"strategy": strategy, **settings})
    config = changed(
        config,
        dataset=name,
        domains=tuple(domains),
        target=target,
        strategy=strategies.full_name(config.strategy),
        combiner=config.method.combiner and strategies.full_combiner_name(config.method.combiner),
        model="own",
        results_dir=config.output.results_dir.expanduser(),
    )
    for setting in _WITHOUT_EFFECT:
        if setting in settings:
            raise errors.UserError(f"{setting} has no effect here; leave it out")
    _check_names(name, domains)
    _check_params(params)
    seed = config.data.of_seed(config.seed).split_seed
    assert seed is not None
    function = models.with_key_and_train(apply_fn)
    data = arrays.split(domains, target, name=config.data.dataset, seed=seed, classes=classes)
    outputs = _number_of_outputs(function, params, data.example)
    if classes is None and outputs > len(data.classes):
        data = dataclasses.replace(data, classes=tuple(map(str, range(outputs))))
    if outputs != len(data.classes):
        raise errors.UserError(f"apply_fn returns {outputs} logits, but there are {len(data.classes)} classes")
    if data.example["dtype"] == "uint8":
        config = changed(config, image_size=data.example["shape"][0])
    check_settings(config)
    run.check_batch_size(config, data)
    if config.optimisation.augment != "none" and data.example["dtype"] != "uint8":
        raise errors.UserError(f"augment={config.optimisation.augment!r} is for uint8 images; leave it out")
    own = [np.asarray(leaf) for leaf in jax.tree.leaves(params)]
    data = dataclasses.replace(data, inputs={**data.inputs, "initial parameters": arrays.identify(own)})
    copies = jax.tree.map(jnp.array, params)  # the first step uses them up
    run.run(config, data, (copies, function), hooks=hooks, quiet=quiet)
    return predict.load(run_folder.folder_of(config).path, apply_fn, params)


# Settings for datasets and networks that dg_jax itself opens.
_WITHOUT_EFFECT = (
    "dataset",
    "domains",
    "preset",
    "image_size",
    "data_dir",
    "splits_dir",
    "prepared_dir",
    "skip_damaged",
    "missing_classes",
    "model",
    "hidden_layers",
    "weights",
    "weights_scope",
    "frozen_layers",
    "batch_norm",
    "dtype",
)


def _check_names(name: str, domains: Mapping[str, Any]) -> None:
    """Refuses names that cannot name a folder, and names of dg_jax's own datasets."""
    for what, given in [("name", name), *(("domain", domain) for domain in domains)]:
        if not isinstance(given, str) or not given or given.startswith(".") or "/" in given or "\0" in given:
            raise errors.UserError(f"{what} {given!r}: give text that can be the name of a folder")
    if name in registry.DATASETS:
        raise errors.UserError(f"name={name!r} is a dataset of dg_jax; give another")


def _number_of_outputs(function: models.ApplyFn, params: chex.ArrayTree, example: Mapping[str, Any]) -> int:
    """Returns how many logits a function returns for each example. The function is traced for this."""

    def logits():
        examples = sampling.network_input(jnp.zeros((2, *example["shape"]), example["dtype"]))
        return function(params, examples, key=jax.random.key(0), train=False)

    shape = jax.eval_shape(logits)
    if not hasattr(shape, "shape") or shape.ndim != 2 or shape.shape[0] != 2:
        raise errors.UserError(f"apply_fn returns {shape} for two examples; it has to return logits [n, classes]")
    return shape.shape[1]


def _check_params(params: chex.ArrayTree) -> None:
    """Refuses leaves that have no gradient."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    if not leaves:
        raise errors.UserError("params: there are no arrays in it")
    for path, leaf in leaves:
        if not jnp.issubdtype(getattr(leaf, "dtype", type(leaf)), jnp.floating):
            place = jax.tree_util.keystr(path) or "params"
            raise errors.UserError(
                f"params: {place} is no float array but {getattr(leaf, 'dtype', type(leaf).__name__)}; keep it out of "
                "params, in apply_fn"
            )
