"""The training of one run, from the first step to its result (section 4.2 of the paper)."""

import contextlib
from collections.abc import Sequence

import chex

from dg_jax.config import RunConfig
from dg_jax.data import dataset
from dg_jax.training import advance, checkpoints, devices, drive, evaluate, interrupt, progress, run_result, step
from dg_jax.training.run_folder import RunFolder
from dg_jax.training.selection import Selection


def train(
    config: RunConfig,
    data: dataset.MultiDomainDataset,
    params: chex.ArrayTree,
    apply_fn,
    folder: RunFolder,
    *,
    hooks: Sequence[drive.Hook] = (),
    show_progress: bool = True,
    layout: devices.Layout = devices.ONE,
) -> dict:
    """Trains on the sources, selects by validation accuracy (or the last parameters), tests on the target.

    Args:
        config: a configuration that :func:`dg_jax.config.check` accepts.
        data: its dataset; every source's training part holds at least a batch.
        params: initial parameters; the first step uses them up, so that they are in memory only once.
        apply_fn: ``apply_fn(params, images, *, key, train) -> logits``, of any library. Its other arrays are saved with
            the parameters if they are its attribute ``constants``.
        folder: where the run is written, opened by :func:`dg_jax.training.run_folder.open_folder`.
        hooks: see :class:`dg_jax.training.drive.Hook`; called before the validation of the same step.
        show_progress: whether to show on a terminal how far the run is.
        layout: the devices to train on.

    Returns:
        What ``result.json`` holds.

    Raises:
        UserError: a number is not finite, or the folder cannot be written; the last good checkpoint stays.
        Interrupted: SIGINT or SIGTERM came; a checkpoint was left.
    """
    with (
        contextlib.closing(checkpoints.Checkpoints(folder.checkpoints, layout)) as store,
        interrupt.StopRequest() as stop,
        progress.Display(config, show_progress) as display,
    ):
        batches = layout.feed(step.domain_batches(config, [data.domains[source]["train"] for source in config.sources]))
        trainer = step.make_trainer(config, apply_fn, params, batches, layout)
        evaluations = evaluate.of_run(apply_fn, data, config.sources, config.target, layout)
        state, best = store.restore(trainer.init(params))
        state, best = layout.split(state, trainer.like), best._replace(params=layout.everywhere(best.params))
        folder.go_on_from(int(state.step), config)
        take_steps = advance.Advance(trainer.step, batches, int(state.step), layout=layout)
        display.begins(data, folder, int(state.step), layout.count)
        selection = Selection(config, evaluations, best, take_steps, folder, [*hooks, display])
        saving = checkpoints.Saving(store, selection)
        hooks = [*hooks, display, selection, saving]
        state, last = drive.drive(
            take_steps, state, config.optimisation.iterations, hooks, sources=[config.sources], stop=stop
        )
        saving.on_stop(state)
        if take_steps.done % config.optimisation.val_every:  # after the save: a longer run does not validate here
            state = selection.on_pause(state, last)
        selection.end(state)
        store.finish(selection.best, getattr(apply_fn, "constants", {}))
    tested, tested_last = evaluations.test(selection.best.params), evaluations.test(state.params)
    ended = run_result.make(config, data, selection.best, tested, tested_last, store.seconds(), take_steps)
    folder.write_result(ended)
    display.ends(ended)
    return ended
