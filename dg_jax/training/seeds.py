"""Several seeds of one run side by side in one program."""

import contextlib
import dataclasses
import itertools
import pathlib
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
from dg_jax.training import advance, evaluate, interrupt, keys, loop, record, step


class Programs(NamedTuple):
    """What runs share that differ in their pictures, seeds, rates and initial parameters only.

    Attributes:
        trainer: the functions of a step.
        steps: compiled, by how many there are in one call.
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

    The numbers are those of the single runs up to float32 rounding, which in hundreds of
    steps grows. No checkpoints are written. ``wall_seconds`` in each result is the time of all.

    Args:
        configs: the configurations, which differ in their seeds only.
        data: the dataset of each, as its seed splits it.
        networks: initial parameters and ``apply_fn`` of each; that of the first serves all.
        compiled: for several groups of runs: a dict, at first empty, in which their
            :class:`Programs` stay, so that each is compiled once.

    Returns:
        What ``result.json`` of each holds.

    Raises:
        UserError: images do not fit into memory, parts are not equally large for all
            seeds, or a folder cannot be written.
        RunError: a loss, a parameter or what Adam has gathered is not finite, or another process is
            writing one of the runs.
        Interrupted: SIGINT or SIGTERM came.
    """
    config, (_, apply_fn) = configs[0], networks[0]
    start = time.monotonic()
    alone, together = feeds(configs, [[own.domains[domain]["train"] for domain in config.sources] for own in data])
    params = stacked([of_seed for of_seed, _ in networks])
    compiled = {} if compiled is None else compiled
    program = _program(config, apply_fn, (params, together.like))
    if program not in compiled:
        trainer = step.make_trainer(config, apply_fn, networks[0][0], alone)
        compiled[program] = Programs(trainer, {}, evaluate.make_evaluate_seeds(apply_fn))
    trainer, steps_compiled, run_evaluation = compiled[program]
    rates = stacked([step.Rates.of(own) for own in configs])
    state = jax.vmap(trainer.init)(params, jnp.array([own.seed for own in configs], jnp.uint32), rates)
    take_steps = advance.Advance(jax.vmap(trainer.step), together, 0, steps_compiled)
    validation = stacked_passes([[own.domains[domain]["validation"] for domain in config.sources] for own in data])
    test = stacked_passes([[own.domains[config.target]["test"]] for own in data])
    watched = {name: stacked_passes([[own.watched[name]] for own in data]) for name in data[0].watched}

    folders = [record.folder_of(own) for own in configs]
    with contextlib.ExitStack() as locks:
        # Only now, when it is known that the runs fit together.
        for own, own_data, folder in zip(configs, data, folders, strict=True):
            locks.enter_context(record.open_folder(own, folder, own_data.inputs))
            folder.forget_progress()
        best_params, best = jax.tree.map(jnp.copy, state.params), [(0, -1.0)] * len(configs)
        done, step_seconds = 0, 0.0
        with interrupt.StopRequest() as stop:
            while done < config.iterations:
                count = min(config.val_every, config.iterations - done)
                take_steps.compile(state, count)
                chunk_start = time.monotonic()
                steps = take_steps(state, count)
                for state, metrics in steps:  # noqa: B007
                    done += 1
                    losses = np.asarray(metrics.losses)
                    for own, of_seed in zip(configs, losses, strict=True):
                        loop.check_finite(of_seed, done, own, f"loss of seed {own.seed}")
                step_seconds += time.monotonic() - chunk_start
                loop.check_state(state, done, " of a seed")
                evaluations = run_evaluation(state.params, validation)
                for own, evaluation in zip(configs, evaluations, strict=True):
                    loop.check_finite(np.array([evaluation.loss]), done, own, f"validation loss of seed {own.seed}")
                better = np.array([new.accuracy > old for new, (_, old) in zip(evaluations, best, strict=True)])
                if config.selection == "last":
                    better[:] = True
                best_params = _chosen(better, state.params, best_params)
                best = [
                    (done, new.accuracy) if is_better else old
                    for new, old, is_better in zip(evaluations, best, better, strict=True)
                ]
                seen = {name: run_evaluation(state.params, watch) for name, watch in watched.items()}
                for i, (folder, evaluation) in enumerate(zip(folders, evaluations, strict=True)):
                    figures = {name: float(value[i]) for name, value in metrics.combiner.items()}
                    validated: dict = {"step": done, "val_accuracy": evaluation.accuracy, "val_loss": evaluation.loss}
                    if seen:
                        validated["watched"] = {name: of_seeds[i].accuracy for name, of_seeds in seen.items()}
                    folder.append_metrics({**validated, "losses": losses[i].tolist(), **figures})
                if stop.signal_number:
                    raise interrupt.Interrupted(stop.signal_number, f"stopped after step {done} of {config.iterations}")

        rate = len(configs) * done * len(config.sources) * config.batch_size / step_seconds
        seconds = time.monotonic() - start
        tested, tested_last = run_evaluation(best_params, test), run_evaluation(state.params, test)
        results = [
            record.result(
                own,
                own_data.left_out,
                own_data.inputs,
                selected=best[i],
                tested=tested[i],
                tested_last=tested_last[i],
                seconds=seconds,
                images_per_second=rate,
            )
            | {"seeds_side_by_side": len(configs)}
            for i, (own, own_data) in enumerate(zip(configs, data, strict=True))
        ]
        for folder, result in zip(folders, results, strict=True):
            folder.write_result(result)
        return results


def feeds(configs: Sequence[RunConfig], sources: Sequence[Sequence[dataset.AnyPart]]) -> tuple[feed.Feed, feed.Feed]:
    """Makes the feed of the first of S runs, for its shapes, and one of all, whose values have a leading axis S.

    Args:
        configs: their configurations, which differ in their seeds only.
        sources: for each the training parts of its N sources.

    Raises:
        UserError: images do not fit into memory, or parts are not equally large for all seeds.
    """
    each = [
        feed.domain_batches(
            parts,
            keys.key_for(own.seed, keys.Purpose.SAMPLING),
            own.batch_size,
            single_domain=own.batches == "single_domain",
        )
        for own, parts in zip(configs, sources, strict=True)
    ]
    if not all(one.is_constant for one in each):
        raise errors.UserError("--vectorize-seeds needs images that fit into memory; leave it out")
    values = stacked([one.like for one in each])
    return each[0], each[0]._replace(like=values, values=lambda first: itertools.repeat(values))


def _program(config: RunConfig, apply_fn: Callable, arguments: chex.ArrayTree) -> tuple:
    """What two groups of runs must have in common to share their programs.

    Of the settings that is all but those that only say which numbers and pictures are given to
    the program, and where the runs are written. An experiment's own settings are of this kind.
    """
    settings = {field.name: getattr(config, field.name) for field in dataclasses.fields(RunConfig)}
    leaves, structure = jax.tree.flatten(arguments)
    others = {"seed": 0, "target": "", "results_dir": pathlib.Path()} | dict.fromkeys(step.Rates._fields, 0.0)
    return RunConfig(**settings | others), apply_fn, structure, tuple(map(jax.typeof, leaves))


def stacked(trees: Sequence[chex.ArrayTree]) -> chex.ArrayTree:
    """Stacks the arrays of S trees."""
    shapes = [jax.tree.map(jnp.shape, tree) for tree in trees]
    if any(other != shapes[0] for other in shapes):
        raise errors.UserError("--vectorize-seeds needs parts equally large for every seed; leave it out")
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def stacked_passes(parts: Sequence[Sequence[dataset.AnyPart]]) -> list[tuple[dataset.Part, chex.Array]]:
    """One pass over the parts of each seed, as batches ``[S, B, …]`` with a mask for all."""
    passes = zip(*(feed.passes(of_seed, loop.EVALUATED_AT_ONCE)() for of_seed in parts), strict=True)
    return [(stacked([part for part, _ in batches]), batches[0][1]) for batches in passes]


@jax.jit
def _chosen(is_first: chex.Array, first: chex.ArrayTree, second: chex.ArrayTree) -> chex.ArrayTree:
    """For each seed its entry of the first tree or of the second."""
    return jax.tree.map(lambda one, other: jax.vmap(jnp.where)(is_first, one, other), first, second)
