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
from dg_jax.data import dataset, sampling
from dg_jax.training import keys


class TrainState(NamedTuple):
    """What a step changes.

    Attributes:
        params: the network's parameters.
        opt_state: state of the whole optax chain; its first entry is the combiner's.
        step: number of steps taken, int32 scalar.
    """

    params: chex.ArrayTree
    opt_state: optax.OptState
    step: chex.Array


class StepMetrics(NamedTuple):
    """What a step reports.

    Attributes:
        losses: float32 ``[N]``, one for each row of the stacked gradients.
        combiner: the scalars that the combiner logs, by name.
    """

    losses: chex.Array
    combiner: dict[str, chex.Array]


Step = Callable[[TrainState, list[dataset.Part]], tuple[TrainState, StepMetrics]]


@dataclasses.dataclass(frozen=True)
class Trainer:
    """The two pure functions of a run's configuration.

    Attributes:
        init: ``init(params) -> TrainState``.
        step: ``step(state, sources) -> (state, metrics)``.
    """

    init: Callable[[chex.ArrayTree], TrainState]
    step: Step


def make_trainer(config: RunConfig, apply_fn) -> Trainer:
    """Builds the step of a run.

    The chain is the paper's: combined gradient, plus λ times the parameters, through
    Adam. The sources' training parts come in as arguments, so that they are no constants
    of the compiled program.
    """
    strategy = strategies.get(config.strategy)
    combiner_seed = jax.random.bits(keys.key_for(config.seed, keys.Purpose.COMBINER))
    settings = {
        "seed": combiner_seed,
        "learning_rate": config.learning_rate,
        "weight_decay": config.weight_decay,
    }
    objective = strategies.make_objective(strategy.objective, apply_fn, settings)
    optimizer = optax.chain(
        strategies.make_combiner(strategy.combiner, settings),
        optax.add_decayed_weights(config.weight_decay),
        optax.scale_by_adam(),
        optax.scale_by_learning_rate(config.learning_rate),
    )
    sampling_key = keys.key_for(config.seed, keys.Purpose.SAMPLING)
    objective_key = keys.key_for(config.seed, keys.Purpose.OBJECTIVE)

    def init(params):
        return TrainState(params, optimizer.init(params), jnp.zeros([], jnp.int32))

    def step(state, sources):
        domain_batch = sampling.sample_domain_batch(sources, sampling_key, state.step, config.batch_size)
        key = jax.random.fold_in(objective_key, state.step)
        losses, stacked = objective(state.params, domain_batch, key=key, step=state.step)
        updates, opt_state = optimizer.update(stacked, state.opt_state, state.params, losses=losses)
        params = optax.apply_updates(state.params, updates)
        return TrainState(params, opt_state, state.step + 1), StepMetrics(losses, _logged(opt_state[0]))

    return Trainer(init, step)


def _logged(combiner_state) -> dict[str, chex.Array]:
    """The floating-point scalars of a combiner's state."""
    fields = combiner_state._asdict()
    return {
        name: value
        for name, value in fields.items()
        if jnp.shape(value) == () and jnp.issubdtype(value.dtype, jnp.floating)
    }
