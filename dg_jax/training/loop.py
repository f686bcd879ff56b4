"""The training loop: steps, validation, selection, checkpoints, result."""

import contextlib
import time

import chex
import jax
import jax.numpy as jnp
import numpy as np

from dg_jax import errors
from dg_jax.config import RunConfig
from dg_jax.data import dataset, feed
from dg_jax.training import advance, checkpoints, evaluate, interrupt, keys, metrics_file, progress, record, step

EVALUATED_AT_ONCE = 128


def train(
    config: RunConfig,
    data: dataset.MultiDomainDataset,
    params: chex.ArrayTree,
    apply_fn,
    folder: record.RunFolder,
    *,
    show_progress: bool = True,
) -> dict:
    """Trains on the sources, selects by validation accuracy (or the last parameters), tests on the target.

    Args:
        config: a configuration that :func:`dg_jax.config.check` accepts.
        data: its dataset; every source's training part holds at least a batch.
        params: the network's initial parameters, which the first step uses up: they are
            donated, so that they do not lie in memory beside those that are trained.
        apply_fn: ``apply_fn(params, images, *, key, train) -> logits``, of any library.
        folder: where the run is written, opened by :func:`record.open_folder`.
        show_progress: whether to show on a terminal how far the run is.

    Returns:
        What ``result.json`` holds.

    Raises:
        RunError: a loss, a parameter or what Adam has gathered is not finite; the last good
            checkpoint stays.
        UserError: the folder cannot be written; the last checkpoint stays.
        Interrupted: SIGINT or SIGTERM came; a checkpoint was left.
    """
    run_evaluation = evaluate.make_evaluate(apply_fn)
    batches = feed.domain_batches(
        [data.domains[domain]["train"] for domain in config.sources],
        keys.key_for(config.seed, keys.Purpose.SAMPLING),
        config.batch_size,
        single_domain=config.batches == "single_domain",
    )
    validation = feed.passes([data.domains[name]["validation"] for name in config.sources], EVALUATED_AT_ONCE)
    test = feed.passes([data.domains[config.target]["test"]], EVALUATED_AT_ONCE)
    watched = {name: feed.passes([part], EVALUATED_AT_ONCE) for name, part in data.watched.items()}
    trainer = step.make_trainer(config, apply_fn, params, batches)

    state = trainer.init(params)
    best = checkpoints.Selected(None, 0, -1.0)
    earlier_seconds = 0.0
    start = time.monotonic()
    with (
        contextlib.closing(checkpoints.Checkpoints(folder.checkpoints)) as store,
        interrupt.StopRequest() as stop,
        progress.Display(config, show_progress) as display,
    ):
        restored = store.restore(state)
        if restored:
            state, best, earlier_seconds = restored
        first = done = int(state.step)
        if done > config.iterations:
            raise errors.UserError(
                f"--iterations={config.iterations}: the run in {folder.path} is at step {done} already; "
                "ask for more, or --overwrite to start anew"
            )
        # A run that ended between two validations of this one has validated there.
        metrics_file.keep(folder.metrics_file, lambda number: number <= first and number % config.val_every == 0)
        take_steps = advance.Advance(trainer.step, batches, done)
        figures: dict = {}
        step_seconds = 0.0

        def seconds() -> float:
            return earlier_seconds + time.monotonic() - start

        def validate() -> checkpoints.Selected:
            accuracy, loss = run_evaluation(state.params, validation())
            check_finite(np.array([loss]), done, config, "validation loss")
            display.validation(accuracy)
            seen = {name: run_evaluation(state.params, watch()).accuracy for name, watch in watched.items()}
            noted = {"watched": seen} if seen else {}
            folder.append_metrics({"step": done, "val_accuracy": accuracy, "val_loss": loss, **noted, **figures})
            if accuracy > best.accuracy or config.selection == "last":
                return checkpoints.Selected(jax.tree.map(jnp.copy, state.params), done, accuracy)
            return best

        def stop_if_asked() -> None:
            if stop.signal_number:
                check_state(state, done)
                store.save(state, best, seconds())
                raise interrupt.Interrupted(stop.signal_number, f"stopped after step {done} of {config.iterations}")

        while done < config.iterations:
            count = min(config.val_every - done % config.val_every, config.iterations - done)
            take_steps.compile(state, count)
            chunk_start = time.monotonic()
            steps = take_steps(state, count)
            for state, metrics in steps:
                done += 1
                losses = np.asarray(metrics.losses)
                check_finite(losses, done, config, "loss")
                display.step(done, metrics)
                if done % config.val_every and done == int(state.step):
                    stop_if_asked()
            step_seconds += time.monotonic() - chunk_start
            check_state(state, done)
            figures = {
                "losses": losses.tolist(),
                **{name: float(value) for name, value in metrics.combiner.items()},
                "images_per_second": _rate(config, done - first, step_seconds),
            }
            if done % config.val_every == 0:
                best = validate()
                stop_if_asked()  # not before: whoever goes on from here does not validate this step again
                store.save_if_due(state, best, seconds())
        store.save(state, best, seconds())
        if done % config.val_every:
            best = validate()
        store.finish(best)
        stop_if_asked()  # it came since the last step, and whoever asked may have more runs to do

    tested = run_evaluation(best.params, test())
    result = record.result(
        config,
        data.left_out,
        data.inputs,
        selected=(best.step, best.accuracy),
        tested=tested,
        tested_last=run_evaluation(state.params, test()),
        seconds=seconds(),
        images_per_second=_rate(config, done - first, step_seconds),
    )
    folder.write_result(result)
    return result


def _rate(config: RunConfig, steps: int, seconds: float) -> float | None:
    """Images trained on in a second of steps; validation and compilation do not count."""
    return steps * len(config.sources) * config.batch_size / seconds if seconds else None


def check_finite(values: np.ndarray, number: int, config: RunConfig, what: str) -> None:
    """Raises a ``RunError`` that names the step and the domain of a value that is not finite."""
    broken = np.flatnonzero(~np.isfinite(values))
    if not broken.size:
        return
    # An objective that does not give one row to each source mixes them.
    by_domain = len(values) == len(config.sources)
    domains = [config.sources[i] for i in broken] if by_domain else config.sources
    raise errors.RunError(
        f"the {what} of {', '.join(domains)} is {values[broken[0]]} at step {number}; "
        "the last good checkpoint is kept; try a smaller --learning-rate"
    )


def check_state(state: step.TrainState, number: int, of_seed: str = "") -> None:
    """Raises a ``RunError`` that names the step if a parameter or a number of the optimizer's state is not finite.

    A loss tells of it one step later, and of squares beyond float32 in Adam's state, which
    hold the parameters where they are, never.
    """
    if not _is_finite(state):
        raise errors.RunError(
            f"the parameters{of_seed} or the optimizer's state are not finite after step {number}, as its gradients "
            "were NaN, infinite or too large; the last good checkpoint is kept; try a smaller --learning-rate"
        )


@jax.jit
def _is_finite(tree: chex.ArrayTree) -> chex.Array:
    numbers = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in numbers]))
