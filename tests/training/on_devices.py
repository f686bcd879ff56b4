"""Compares training steps on 8 host devices with one. A program of its own: XLA counts devices at its start.

XLA_FLAGS=--xla_force_host_platform_device_count=8 python -m tests.training.on_devices WHICH

WHICH is combiners, objectives or others; or product, for every objective with every combiner, which takes minutes and
is no part of the tests.
"""

import itertools
import pathlib
import sys
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dg_jax import config, strategies
from dg_jax.config import methods
from dg_jax.data import dataset
from dg_jax.models import functional
from dg_jax.training import advance, devices, loop, run_folder, step
from experiments.benchmark import collectives
from tests.training import worlds

DEVICES, SOURCES, BATCH = 8, 4, 16
SETTINGS = {"krum": methods.Krum(byzantine=1), "weighted": methods.Weighted((0.1, 0.2, 0.3, 0.4))}

OF_MLDG = {"krum": methods.Krum(byzantine=0), "weighted": methods.Weighted((0.1, 0.2, 0.3))}  # it makes N - 1 gradients


def network():
    """A network with a layer that is split over devices and one that is not, as functions with features."""

    def features_of(params, constants, images, *, key, train):
        return jnp.tanh(images.reshape(len(images), -1) @ params["hidden"] + params["bias"])

    def logits_of(params, constants, features):
        return features @ params["last"]

    keys = jax.random.split(jax.random.key(0))
    params = {
        "hidden": jax.random.normal(keys[0], (192, 256)) / 14,
        "bias": jnp.zeros(256),
        "last": jax.random.normal(keys[1], (256, 3)) / 16,
    }
    return params, functional.Pure(features_of, logits_of, {})


def sources():
    rng = np.random.default_rng(0)
    return [
        dataset.Part(rng.integers(0, 256, (40, 8, 8, 3)).astype(np.uint8), rng.integers(0, 3, 40).astype(np.int32))
        for _ in range(SOURCES)
    ]


def run_config(**settings):
    domains = ("a", "b", "c", "d", "target")
    usual = {"domains": domains, "target": "target", "batch_size": BATCH, "iterations": 10, "image_size": 8}
    return config.changed(config.RunConfig(), **usual, **settings)


def trained(run, layout, parts):
    """The state and losses after two steps, and the compiled step."""
    params, apply_fn = network()
    batches = layout.feed(step.domain_batches(run, parts))
    trainer = step.make_trainer(run, apply_fn, params, batches, layout)
    state, compiled = layout.split(trainer.init(params), trainer.like), {}
    take_steps = advance.Advance(trainer.step, batches, 0, compiled, stepwise=True, layout=layout)
    losses = []
    for _ in range(2):
        state, metrics = take_steps(state, 1)
        losses.append(metrics.losses)
    return state, np.array(losses), compiled[1]


def check_same(what, state, losses, wanted_state, wanted_losses):
    np.testing.assert_allclose(losses, wanted_losses, rtol=1e-5, err_msg=what)
    for moment in ("mu", "nu"):
        for name, wanted in optax.tree.get(wanted_state.opt_state, moment).items():
            got = np.asarray(optax.tree.get(state.opt_state, moment)[name]).reshape(wanted.shape)
            worlds.assert_same_but_for_signs(got, wanted, f"{what}: {moment} of {name}")


def check_bytes(what, compiled, state):
    """At most (N + 1) times the parameters are sent, and no gradient is gathered."""
    sent = collectives.sent(compiled)
    of_params = sum(leaf.nbytes for leaf in jax.tree.leaves(state.params))
    assert sum(size for _, size in sent) <= 1.05 * (SOURCES + 1) * of_params, f"{what}: {sent}"
    assert sum(size for name, size in sent if name != "all-reduce") <= 1.05 * of_params, f"{what}: {sent}"
    moments = jax.tree.leaves([optax.tree.get(state.opt_state, name) for name in ("mu", "nu")])
    on_one = sum(leaf.addressable_shards[0].data.nbytes for leaf in moments)
    assert on_one <= 2 * of_params / DEVICES + 2 * 4 * 1024, f"{what}: Adam's state has {on_one} bytes on one device"


def check(what, parts, *, bytes_too=True, **settings):
    run = run_config(**settings)
    alone, losses_alone, _ = trained(run, devices.ONE, parts)
    state, losses, compiled = trained(run, devices.Layout(jax.devices()), parts)
    check_same(what, state, losses, alone, losses_alone)
    if bytes_too:
        check_bytes(what, compiled, state)
    print(what, "ok", flush=True)


def check_moved_checkpoints():
    """A run that was stopped on 8 devices goes on with 1 and with 4, and the other way round, to the same end."""
    with tempfile.TemporaryDirectory() as scratch:
        wanted = None
        for name, counts in (("alone", (1, 1)), ("fewer", (8, 1)), ("other", (8, 4)), ("more", (1, 8))):
            for count, iterations in zip(counts, (3, 6), strict=True):
                run = run_config(
                    results_dir=pathlib.Path(scratch) / name, strategy="agr_rand", resume=True, val_every=3
                )
                run = config.changed(run, iterations=iterations)
                folder = run_folder.folder_of(run)
                with run_folder.open_folder(run, folder, {}, "xyz"):
                    layout = devices.Layout(jax.devices()[:count])
                    loop.train(run, world(), *network(), folder, show_progress=False, layout=layout)
            last = worlds.last_state(run)
            wanted = wanted or last
            for path, leaf in last.items():
                assert leaf.shape == wanted[path].shape, path
                worlds.assert_same_but_for_signs(leaf, wanted[path], f"{name} {path}")
    print("moved checkpoints", "ok", flush=True)


def world():
    parts = [*sources(), sources()[0]]
    domains = {
        name: dict.fromkeys(("train", "validation", "test"), part)
        for name, part in zip(("a", "b", "c", "d", "target"), parts, strict=True)
    }
    return dataset.MultiDomainDataset("emoji", ("x", "y", "z"), domains)


def check_read_images(parts):
    """Images that are read from the host batch by batch give the numbers of images held on the devices."""

    class Stored(dataset.StoredPart):
        def read(self, rows):
            return dataset.Part(self.records[rows], self.label[rows])

    run, layout = run_config(strategy="agr_sum"), devices.Layout(jax.devices())
    held, losses_held, _ = trained(run, layout, parts)
    read, losses_read, _ = trained(run, layout, [Stored(image, None, label, 8) for image, label in parts])
    check_same("read", read, losses_read, held, losses_held)
    print("read", "ok", flush=True)


def check_product(parts, objectives, combiners):
    """Every objective of several rows with every combiner."""
    for objective in (name for name in objectives if name not in strategies.OF_ONE_ROW):
        for combiner in combiners:
            settings = SETTINGS | OF_MLDG if objective == "mldg" else SETTINGS
            own = {combiner: settings[combiner]} if combiner in settings else {}
            strategy = {"erm": "sum"}.get(objective, objective)
            try:
                check(f"{objective} {combiner}", parts, bytes_too=False, strategy=strategy, combiner=combiner, **own)
            except AssertionError as error:
                print(objective, combiner, "FAILED", error, flush=True)


def main(which):
    parts = sources()
    combiners = sorted({strategy.combiner for strategy in strategies.STRATEGIES.values()})
    objectives = sorted({strategy.objective for strategy in strategies.STRATEGIES.values()})
    if which == "product":
        check_product(parts, objectives, combiners)
    if which == "combiners":
        for name in combiners:
            own = {name: SETTINGS[name]} if name in SETTINGS else {}
            check(name, parts, strategy="agr_sum", combiner=name, **own)
    if which == "objectives":
        for name, combiner in zip(objectives, itertools.cycle(("agr_rand", "cagrad"))):
            combiner = "deep_all" if name in strategies.OF_ONE_ROW else combiner
            strategy = {"pooled": "deep_all", "erm": "sum"}.get(name, name)
            check(f"{name} {combiner}", parts, bytes_too=name == "pooled", strategy=strategy, combiner=combiner)
    if which == "others":
        for combiner, form in (("agr_sum", "accumulated"), ("agr_rand", "accumulated"), ("pcgrad", "two_pass")):
            check(f"{combiner} {form}", parts, bytes_too=False, strategy=combiner, gradients=form)
        check("ema", parts, strategy="agr_sum", average="ema")
        check("single_domain", parts, strategy="agr_sum", batches="single_domain")
        check("augmented", parts, strategy="agr_sum", augment="standard")
        check_moved_checkpoints()
        check_read_images(parts)


if __name__ == "__main__":
    main(sys.argv[1])
