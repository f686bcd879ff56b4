"""One training step: domain batch, Jacobian, combiner, optimizer."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from dg_jax import strategies
from dg_jax.config import RunConfig
from dg_jax.data import dataset, feed
from dg_jax.training import devices, frozen, keys, reset, swad


class TrainState(NamedTuple):
    """What a step takes, and what it returns.

    Attributes:
        params: the network's parameters.
        opt_state: state of the whole optax chain, with the learning rate and the weight decay.
        step: number of steps taken, int32 scalar.
        key: PRNG key for the objective's random numbers; the same at every step.
        kept: what the objective keeps from step to step.
        average: with ``--average=ema`` the average of the parameters; with ``swad`` that since the last validation.
        valley: with ``--average=swad`` what earlier validations have shown, see :mod:`dg_jax.training.swad`.
    """

    params: chex.ArrayTree
    opt_state: optax.OptState
    step: chex.Array
    key: chex.PRNGKey
    kept: chex.ArrayTree = ()
    average: chex.ArrayTree = ()
    valley: Any = ()


class StepMetrics(NamedTuple):
    """What a step reports.

    Attributes:
        losses: float32 ``[N]``, one for each gradient.
        combiner: the scalars that the combiner reports, by name.
    """

    losses: chex.Array
    combiner: dict[str, chex.Array]


Step = Callable[[TrainState, chex.ArrayTree], tuple[TrainState, StepMetrics]]


@dataclasses.dataclass(frozen=True)
class Trainer:
    """The two pure functions of a run's configuration.

    Attributes:
        init: ``init(params, seed, rates) -> TrainState``; seed and rates (see :func:`rates`) are by default
            the run's, and may be traced under ``jax.vmap`` over runs.
        step: ``step(state, value) -> (state, metrics)``, with a value of the run's feed.
        like: shapes of the state that the step takes; on several devices they differ from those of ``init``, see
            :meth:`devices.Layout.split`.
    """

    init: Callable[..., TrainState]
    step: Step
    like: TrainState


def rates(config: RunConfig) -> dict[str, chex.Array]:
    """Returns learning rate and weight decay, in which runs that share a compiled program may differ."""
    return {name: jnp.float32(rate) for name, rate in dataclasses.asdict(config.rates).items()}


def domain_batches(config: RunConfig, sources: Sequence[dataset.AnyPart]) -> feed.Feed:
    """Makes a run's feed of training batches from the training parts of its N sources."""
    key = keys.key_for(config.seed, keys.Purpose.SAMPLING)
    return feed.domain_batches(
        sources,
        key,
        config.optimisation.batch_size,
        single_domain=config.method.batches == "single_domain",
        augmented=config.optimisation.augment == "standard",
    )


def make_trainer(
    config: RunConfig,
    apply_fn,
    params: chex.ArrayTree,
    batches: feed.Feed,
    layout: devices.Layout = devices.ONE,
) -> Trainer:
    """Builds the step of a run.

    The chain is the paper's: combined gradient, plus λ times the parameters, through Adam. ``params`` and ``batches``
    give the shapes, and ``layout`` gives the devices. Images and keys are arguments of each step, not constants of the
    compiled program, so one program serves every seed.
    """
    methods = config.methods
    objective_settings = config.method_settings(methods.objective)
    draw = batches.draw  # not the feed, whose images would stay in memory as long as the step
    frozen_layers = config.network.frozen_layers
    shapes = jax.eval_shape(draw, batches.like, 0)

    def objective_of(params, rates):
        trained, network = frozen.of_trained(apply_fn, params, frozen_layers)
        return trained, strategies.make_objective(
            methods.objective, network, objective_settings, form=config.method.gradients, **rates
        )

    def objective_init(params):
        trained, objective = objective_of(params, rates(config))
        return objective.init(trained, shapes)

    def losses_and_jacobian(params, value, kept, key, step, rates):
        trained, objective = objective_of(params, rates)
        domain_batch = layout.images(draw(value, step))
        return objective.update(trained, domain_batch, kept, key=jax.random.fold_in(key, step), step=step)

    kept = jax.eval_shape(objective_init, params)
    losses, *_ = jax.eval_shape(losses_and_jacobian, params, batches.like, kept, jax.random.key(0), 0, rates(config))

    def make_optimizer(seed, rates):
        combiner = strategies.make_combiner(
            methods.combiner,
            config.method_settings(methods.combiner),
            key=jax.random.bits(keys.key_for(seed, keys.Purpose.COMBINER)),
            num_rows=len(losses),
        )
        adam = optax.scale_by_adam()
        if methods.objective in strategies.ANNEALED:
            adam = reset.reset_at(adam, objective_settings["anneal_steps"])

        def chain(learning_rate, weight_decay):
            return optax.named_chain(
                ("combiner", combiner),
                ("l2", optax.add_decayed_weights(weight_decay)),
                ("adam", adam),
                ("step", optax.scale_by_learning_rate(learning_rate)),
                ("drop", _drop(config)),
            )

        return optax.inject_hyperparams(chain, hyperparam_dtype=jnp.float32)(**rates)

    def init(params, seed=config.seed, rates=rates(config)):  # noqa: B008
        # Copies, as the next step uses a state up.
        trained, _ = frozen.split(params, frozen_layers)
        opt_state = make_optimizer(seed, jax.tree.map(jnp.copy, rates)).init(trained)
        average = () if config.method.average == "none" else jax.tree.map(jnp.zeros_like, params)
        return TrainState(
            params,
            opt_state,
            jnp.zeros([], jnp.int32),
            keys.key_for(seed, keys.Purpose.OBJECTIVE),
            objective_init(params),
            average,
            swad.init(params, config.method.swad) if config.method.average == "swad" else (),
        )

    # Seed and rates have no effect here: those in the state are used.
    optimizer = devices.flat(make_optimizer(config.seed, rates(config)), layout)

    def step(state, value):
        rates = optax.tree.get(state.opt_state, "hyperparams")
        losses, jacobian, kept = losses_and_jacobian(state.params, value, state.kept, state.key, state.step, rates)
        trained, kept_weights = frozen.split(state.params, frozen_layers)
        updates, opt_state = optimizer.update(jacobian, state.opt_state, trained, losses=losses)
        params = layout.on_all(frozen.joined(optax.apply_updates(trained, updates), kept_weights))
        average = state.average
        if config.method.average != "none":
            average = optax.incremental_update(params, average, _share(config, state.step))
            average = frozen.joined(average, kept_weights)  # without rounding
        state = state._replace(params=params, opt_state=opt_state, step=state.step + 1, kept=kept, average=average)
        metrics = StepMetrics(losses, _logged(optax.tree.get(opt_state, "combiner")))
        return layout.state(state), layout.on_all(metrics)

    like = jax.eval_shape(init, params)
    trained, _ = frozen.split(params, frozen_layers)
    return Trainer(init, step, like._replace(opt_state=jax.eval_shape(optimizer.init, trained)))


def _share(config: RunConfig, step: chex.Array) -> chex.Array:
    """Returns the share in the average of the parameters after step number ``step``, counted from 0."""
    if config.method.average == "swad":
        return 1 / (step % config.optimisation.val_every + 1)
    return jnp.maximum(1 / (step + 1), 1 - config.method.ema.decay)


def _drop(config: RunConfig) -> optax.GradientTransformation:
    """Scales the updates from a step on, if the run asks for it."""
    if config.optimisation.learning_rate_drop is None:
        return optax.identity()
    step, factor = config.optimisation.learning_rate_drop.split(":")
    return optax.scale_by_schedule(optax.piecewise_constant_schedule(1.0, {int(step): float(factor)}))


def _logged(combiner_state) -> dict[str, chex.Array]:
    """Returns the floating-point scalars of a combiner's state."""
    fields = combiner_state._asdict()
    return {
        name: value
        for name, value in fields.items()
        if jnp.shape(value) == () and jnp.issubdtype(value.dtype, jnp.floating)
    }
