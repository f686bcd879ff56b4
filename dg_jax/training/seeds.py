"""Several runs side by side in one program, which differ in their seeds, rates or domains."""

import contextlib
import itertools
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from dg_jax import errors
from dg_jax.config import RunConfig
from dg_jax.data import dataset, feed
from dg_jax.training import advance, drive, evaluate, finite, interrupt, run_folder, run_result, selection, step


class Programs(NamedTuple):
    """Compiled programs, shared by runs that differ only in pictures, seeds, rates and initial parameters.

    Attributes:
        trainer: the functions of a step.
        steps: the compiled steps, by the number of steps in one call.
        run_evaluation: see :func:`dg_jax.training.evaluate.make_evaluate_seeds`.
    """

    trainer: step.Trainer
    steps: dict[int, jax.stages.Compiled]
    run_evaluation: Callable[..., list[evaluate.Evaluation]]


def train(
    configs: Sequence[RunConfig],
    data: Sequence[dataset.MultiDomainDataset],
    networks: Sequence[tuple[chex.ArrayTree, Callable]],
    compiled: dict | None = None,
) -> list[dict]:
    """Trains S runs under ``vmap``, as :func:`dg_jax.training.loop.train` does one, and writes their results.

    The numbers are those of the single runs up to float32 rounding, which grows over hundreds of steps. No checkpoints
    are written. ``wall_seconds`` in each result is the time of all runs together.

    Args:
        configs: the configurations, which differ in seeds, rates and domains only, and all have N sources.
        data: the dataset of each, as its seed splits it.
        networks: initial parameters and ``apply_fn`` of each; the first ``apply_fn`` is used for all.
        compiled: a dict, empty at first, that keeps the :class:`Programs` of several groups of runs, so that each is
            compiled once.

    Returns:
        What the ``result.json`` of each run holds.

    Raises:
        UserError: images do not fit into memory, parts are not equally large for all
            seeds, or a folder cannot be written.
        RunError: a loss, a parameter or a number of Adam's state is not finite, or another process is
            writing one of the runs.
        Interrupted: SIGINT or SIGTERM came.
    """
    config, (_, apply_fn) = configs[0], networks[0]
    if config.output.log != "none":
        raise errors.UserError(f"--log={config.output.log} does not go with --vectorize-seeds; leave one out")
    if config.method.average == "swad":
        raise errors.UserError("--average=swad does not go with --vectorize-seeds; leave one out")
    start = time.monotonic()
    alone, together = feeds(configs, _sources_of(configs, data, "train"))
    params = stacked([of_seed for of_seed, _ in networks])
    compiled = {} if compiled is None else compiled
    program = _program(config, apply_fn, (params, together.like))
    if program not in compiled:
        trainer = step.make_trainer(config, apply_fn, networks[0][0], alone)
        compiled[program] = Programs(trainer, {}, evaluate.make_evaluate_seeds(apply_fn))
    trainer, steps_compiled, run_evaluation = compiled[program]
    state = first_state(trainer, configs, params)
    take_steps = advance.Advance(jax.vmap(trainer.step), together, 0, steps_compiled)
    evaluations = _evaluations(run_evaluation, configs, data)
    folders = [run_folder.folder_of(own) for own in configs]
    with contextlib.ExitStack() as locks, interrupt.StopRequest() as stop:
        # Opened only now, when the runs are known to fit together.
        for own, own_data, folder in zip(configs, data, folders, strict=True):
            locks.enter_context(
                run_folder.open_folder(own, folder, own_data.inputs, own_data.classes, own_data.example)
            )
            folder.forget_progress()
        chosen = _Selection(configs, evaluations, state.params, folders)
        numbers = [own.seed for own in configs]
        state, last = drive.drive(
            take_steps,
            state,
            config.optimisation.iterations,
            [chosen],
            sources=[own.sources for own in configs],
            stop=stop,
            seeds=numbers,
        )
        if take_steps.done % config.optimisation.val_every:
            chosen.on_pause(state, last)
        seconds = time.monotonic() - start
        results = [
            run_result.make(own, own_data, best, tested, last, seconds, take_steps)
            | {"seeds_side_by_side": len(configs)}
            for own, own_data, best, tested, last in zip(
                configs, data, chosen.best, evaluations.test(chosen.params), evaluations.test(state.params), strict=True
            )
        ]
        for folder, of_seed in zip(folders, results, strict=True):
            folder.write_result(of_seed)
        return results


def first_state(trainer: step.Trainer, configs: Sequence[RunConfig], params: chex.ArrayTree) -> step.TrainState:
    """Returns the states before the first step of S runs; ``params`` and each leaf have a leading axis S."""
    seeds = jnp.array([own.seed for own in configs], jnp.uint32)
    return jax.vmap(trainer.init)(params, seeds, stacked([step.rates(own) for own in configs]))


def _evaluations(
    run: Callable, configs: Sequence[RunConfig], data: Sequence[dataset.MultiDomainDataset]
) -> evaluate.Evaluations:
    """Builds the evaluations of S runs side by side."""

    def on(parts: Sequence[Sequence[dataset.AnyPart]]) -> Callable[[chex.ArrayTree], list[evaluate.Evaluation]]:
        passes = stacked_passes(parts)
        return lambda params: run(params, passes)

    tested = [[own.domains[of_run.target]["test"]] for of_run, own in zip(configs, data, strict=True)]
    return evaluate.Evaluations(
        validation=on(_sources_of(configs, data, "validation")),
        test=on(tested),
        watched={name: on([[own.watched[name]] for own in data]) for name in data[0].watched},
    )


def _sources_of(
    configs: Sequence[RunConfig], data: Sequence[dataset.MultiDomainDataset], part: str
) -> list[list[dataset.AnyPart]]:
    """One of the parts of all sources of each run."""
    return [[own.domains[domain][part] for domain in of_run.sources] for of_run, own in zip(configs, data, strict=True)]


class _Selection(drive.Hook):
    """Does for S runs what :class:`dg_jax.training.selection.Selection` does for one.

    Attributes:
        best: the selection of each run, without its parameters.
        params: the selected parameters, each leaf with a leading axis S.
    """

    def __init__(
        self,
        configs: Sequence[RunConfig],
        evaluations: evaluate.Evaluations,
        params: chex.ArrayTree,
        folders: Sequence[run_folder.RunFolder],
    ):
        self.every = configs[0].optimisation.val_every
        self.params, self.best = jax.tree.map(jnp.copy, params), [selection.Selected()] * len(configs)
        self._configs, self._evaluations, self._folders = configs, evaluations, folders

    def on_pause(self, state: step.TrainState, metrics: step.StepMetrics | None) -> None:
        assert metrics
        number = int(state.step[0])
        params = selection.validated(state, self._configs[0])
        validations = self._evaluations.validation(params)
        watched = {name: run(params) for name, run in self._evaluations.watched.items()}
        is_better = []
        for i, (own, validation) in enumerate(zip(self._configs, validations, strict=True)):
            finite.check_losses(np.array([validation.loss]), number, own.sources, own.seed, "validation loss")
            is_better.append(own.optimisation.selection == "last" or validation.accuracy > self.best[i].accuracy)
            if is_better[i]:
                self.best[i] = selection.Selected(None, number, validation.accuracy)
        for i, (folder, validation) in enumerate(zip(self._folders, validations, strict=True)):
            seen = {name: of_seeds[i].accuracy for name, of_seeds in watched.items()}
            own_metrics = jax.tree.map(lambda leaf: leaf[i], metrics)  # noqa: B023
            folder.append_metrics(selection.figures(number, validation, seen, own_metrics))
        self.params = _chosen(np.array(is_better), params, self.params)


def feeds(configs: Sequence[RunConfig], sources: Sequence[Sequence[dataset.AnyPart]]) -> tuple[feed.Feed, feed.Feed]:
    """Makes the feed of the first of S runs, for its shapes, and one feed for all, with a leading axis S in its values.

    Args:
        configs: their configurations, as :func:`train` takes them.
        sources: for each the training parts of its N sources.

    Raises:
        UserError: images do not fit into memory, or parts are not equally large for all seeds.
    """
    each = [step.domain_batches(own, parts) for own, parts in zip(configs, sources, strict=True)]
    if not all(one.is_constant for one in each):
        raise errors.UserError("--vectorize-seeds needs images that fit into memory; leave it out")
    values = stacked([one.like for one in each])
    together = each[0]._replace(
        like=values,
        values=lambda first: itertools.repeat(values),
        images_per_step=sum(one.images_per_step for one in each),
    )
    return each[0], together


def _program(config: RunConfig, apply_fn: Callable, arguments: chex.ArrayTree) -> tuple:
    """Returns the settings that two groups of runs must have in common to share their programs.

    Seeds, rates and pictures are arguments of a program; only their shapes are part of it.
    """
    leaves, structure = jax.tree.flatten(arguments)
    return config.methods, config.method, config.optimisation, apply_fn, structure, tuple(map(jax.typeof, leaves))


def stacked(trees: Sequence[chex.ArrayTree]) -> chex.ArrayTree:
    """Stacks the arrays of S trees."""
    shapes = [jax.tree.map(jnp.shape, tree) for tree in trees]
    if any(other != shapes[0] for other in shapes):
        raise errors.UserError("--vectorize-seeds needs parts equally large for every seed; leave it out")
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def stacked_passes(parts: Sequence[Sequence[dataset.AnyPart]]) -> list[tuple[dataset.Part, chex.Array]]:
    """Makes one pass over the parts of each seed, as batches ``[S, B, …]`` with one mask for all."""
    passes = zip(*(feed.passes(of_seed, evaluate.AT_ONCE)() for of_seed in parts), strict=True)
    return [(stacked([part for part, _ in batches]), batches[0][1]) for batches in passes]


@jax.jit
def _chosen(is_first: chex.Array, first: chex.ArrayTree, second: chex.ArrayTree) -> chex.ArrayTree:
    """Takes for each seed its entry of the first tree or of the second."""
    return jax.tree.map(lambda one, other: jax.vmap(jnp.where)(is_first, one, other), first, second)
