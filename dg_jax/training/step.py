"""One training step: domain batch, stacked gradients, combiner, optimizer."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from dg_jax import strategies
from dg_jax.config import RunConfig
from dg_jax.data import feed
from dg_jax.training import keys, reset


class TrainState(NamedTuple):
    """What a step changes.

    Attributes:
        params: the network's parameters.
        opt_state: state of the whole optax chain; its first entry is the combiner's.
        step: number of steps taken, int32 scalar.
        key: PRNG key of what the objective draws; the same at every step.
    """

    params: chex.ArrayTree
    opt_state: optax.OptState
    step: chex.Array
    key: chex.PRNGKey


class StepMetrics(NamedTuple):
    """What a step reports.

    Attributes:
        losses: float32 ``[N]``, one for each row of the stacked gradients.
        combiner: the scalars that the combiner logs, by name.
    """

    losses: chex.Array
    combiner: dict[str, chex.Array]


Step = Callable[[TrainState, chex.ArrayTree], tuple[TrainState, StepMetrics]]


@dataclasses.dataclass(frozen=True)
class Trainer:
    """The two pure functions of a run's configuration.

    Attributes:
        init: ``init(params, seed) -> TrainState``; the seed is by default the run's, and may
            be traced under ``jax.vmap`` over seeds.
        step: ``step(state, value) -> (state, metrics)``, with a value of the run's feed.
    """

    init: Callable[..., TrainState]
    step: Step


def make_trainer(config: RunConfig, apply_fn, params: chex.ArrayTree, batches: feed.Feed) -> Trainer:
    """Builds the step of a run.

    The chain is the paper's: combined gradient, plus λ times the parameters, through
    Adam. ``params`` and ``batches`` give the shapes. Images and keys come into each step as
    arguments and are no constants of the compiled program, which so serves every seed.
    """
    methods = config.methods
    objective_settings = config.method_settings(methods.objective)
    draw = batches.draw  # and not the feed, whose images would stay in memory as long as the step
    objective = strategies.make_objective(
        methods.objective,
        apply_fn,
        {
            "learning_rate": config.learning_rate,
            "weight_decay": config.weight_decay,
            "accumulate_domains": config.accumulate_domains,
        }
        | objective_settings,
    )

    def losses_and_gradients(params, value, key, step):
        domain_batch = draw(value, step)
        return objective(params, domain_batch, key=jax.random.fold_in(key, step), step=step)

    losses, _ = jax.eval_shape(losses_and_gradients, params, batches.like, jax.random.key(0), 0)

    def make_optimizer(seed):
        combiner = strategies.make_combiner(
            methods.combiner,
            {"seed": jax.random.bits(keys.key_for(seed, keys.Purpose.COMBINER)), "num_rows": len(losses)}
            | config.method_settings(methods.combiner),
        )
        adam = optax.scale_by_adam()
        if methods.objective in strategies.OPTIMIZER_RESETS:
            adam = reset.reset_at(adam, objective_settings[strategies.OPTIMIZER_RESETS[methods.objective]])
        return optax.chain(
            combiner,
            optax.add_decayed_weights(config.weight_decay),
            adam,
            optax.scale_by_learning_rate(config.learning_rate),
        )

    def init(params, seed=config.seed):
        key = keys.key_for(seed, keys.Purpose.OBJECTIVE)
        return TrainState(params, make_optimizer(seed).init(params), jnp.zeros([], jnp.int32), key)

    optimizer = make_optimizer(config.seed)  # of its seed, updates know nothing: it has gone into the state

    def step(state, value):
        losses, gradients = losses_and_gradients(state.params, value, state.key, state.step)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params, losses=losses)
        params = optax.apply_updates(state.params, updates)
        return TrainState(params, opt_state, state.step + 1, state.key), StepMetrics(losses, _logged(opt_state[0]))

    return Trainer(init, step)


def _logged(combiner_state) -> dict[str, chex.Array]:
    """The floating-point scalars of a combiner's state."""
    fields = combiner_state._asdict()
    return {
        name: value
        for name, value in fields.items()
        if jnp.shape(value) == () and jnp.issubdtype(value.dtype, jnp.floating)
    }
