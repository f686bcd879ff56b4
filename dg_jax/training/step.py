"""One training step: domain batch, Jacobian, combiner, optimizer."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from dg_jax import strategies
from dg_jax.config import RunConfig
from dg_jax.data import feed
from dg_jax.training import keys, reset


class Rates(NamedTuple):
    """The two numbers of a run that only scale its updates, and so may differ between runs of one compiled program.

    Attributes:
        learning_rate: step size of Adam, float32 scalar.
        weight_decay: λ of the L2 term, float32 scalar.
    """

    learning_rate: chex.Numeric
    weight_decay: chex.Numeric

    @classmethod
    def of(cls, config: RunConfig) -> "Rates":
        """Returns those of a configuration."""
        return cls(np.float32(config.learning_rate), np.float32(config.weight_decay))


class TrainState(NamedTuple):
    """What a step is taken from, and what it makes.

    Attributes:
        params: the network's parameters.
        opt_state: state of the whole optax chain; its first entry is the combiner's.
        step: number of steps taken, int32 scalar.
        key: PRNG key of what the objective draws; the same at every step.
        rates: the run's, the same at every step.
    """

    params: chex.ArrayTree
    opt_state: optax.OptState
    step: chex.Array
    key: chex.PRNGKey
    rates: Rates


class StepMetrics(NamedTuple):
    """What a step reports.

    Attributes:
        losses: float32 ``[N]``, one for each gradient.
        combiner: the scalars that the combiner logs, by name.
    """

    losses: chex.Array
    combiner: dict[str, chex.Array]


Step = Callable[[TrainState, chex.ArrayTree], tuple[TrainState, StepMetrics]]


@dataclasses.dataclass(frozen=True)
class Trainer:
    """The two pure functions of a run's configuration.

    Attributes:
        init: ``init(params, seed, rates) -> TrainState``; seed and :class:`Rates` are by default the
            run's, and may be traced under ``jax.vmap`` over runs.
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
    own_rates = Rates.of(config)

    def losses_and_gradients(params, value, key, step, rates):
        objective = strategies.make_objective(
            methods.objective,
            apply_fn,
            {**rates._asdict(), "form": config.gradients, **objective_settings},
        )
        domain_batch = draw(value, step)
        return objective(params, domain_batch, key=jax.random.fold_in(key, step), step=step)

    losses, _ = jax.eval_shape(losses_and_gradients, params, batches.like, jax.random.key(0), 0, own_rates)

    def make_optimizer(seed, rates):
        combiner = strategies.make_combiner(
            methods.combiner,
            {"key": jax.random.bits(keys.key_for(seed, keys.Purpose.COMBINER)), "num_rows": len(losses)}
            | config.method_settings(methods.combiner),
        )
        adam = optax.scale_by_adam()
        if methods.objective in strategies.OPTIMIZER_RESETS:
            adam = reset.reset_at(adam, objective_settings[strategies.OPTIMIZER_RESETS[methods.objective]])
        return optax.chain(
            combiner,
            optax.add_decayed_weights(rates.weight_decay),
            adam,
            optax.scale_by_learning_rate(rates.learning_rate),
        )

    def init(params, seed=config.seed, rates=own_rates):
        key = keys.key_for(seed, keys.Purpose.OBJECTIVE)
        opt_state = make_optimizer(seed, rates).init(params)
        return TrainState(params, opt_state, jnp.zeros([], jnp.int32), key, jax.tree.map(jnp.asarray, rates))

    def step(state, value):
        losses, gradients = losses_and_gradients(state.params, value, state.key, state.step, state.rates)
        optimizer = make_optimizer(config.seed, state.rates)  # of its seed, updates know nothing: it is in the state
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params, losses=losses)
        params = optax.apply_updates(state.params, updates)
        state = state._replace(params=params, opt_state=opt_state, step=state.step + 1)
        return state, StepMetrics(losses, _logged(opt_state[0]))

    return Trainer(init, step)


def _logged(combiner_state) -> dict[str, chex.Array]:
    """The floating-point scalars of a combiner's state."""
    fields = combiner_state._asdict()
    return {
        name: value
        for name, value in fields.items()
        if jnp.shape(value) == () and jnp.issubdtype(value.dtype, jnp.floating)
    }
