"""Agr-Sum and Agr-Rand: sum the gradients where all their signs agree (paper, eqs. 2 to 4)."""

import functools
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import _combiner, _fast, _jacobian
from dg_jax.surgery._components import AgreementState
from dg_jax.surgery._jacobian import Form, Jacobian, SumMinMax

Zeros = Literal["agree", "conflict", "abstain"]
_FORMS: tuple[Form, ...] = ("stacked", "accumulated")


def agreement(jacobian: Jacobian, zeros: Zeros = "agree") -> optax.Updates:
    r"""Marks the components in which the signs of all gradients agree.

    .. math:: \Phi_j = 1 \text{ if } \mathrm{sgn}(g_j^{(1)}) = \dots = \mathrm{sgn}(g_j^{(N)}), \text{ else } 0
        \qquad \text{(eq. 2)}

    Args:
        jacobian: N gradients, stacked ``[N, *shape]`` or accumulated.
        zeros: how a zero counts, see :func:`agr_sum`.

    Returns:
        Φ: a tree like the parameters, with booleans ``[*shape]``. Also true where a row is NaN or infinite.

    Raises:
        ValueError: the gradients are neither stacked nor accumulated, have no rows or not the same N, or are not
            floating-point; or ``zeros`` is none of the three.

    Example:
        >>> import jax.numpy as jnp
        >>> from dg_jax import surgery
        >>> print(surgery.agreement(jnp.array([[1.0, 2.0, 0.0], [3.0, -2.0, 0.0]])))
        [ True False  True]

    References:
        Mansilla et al., `Domain Generalization via Gradient Surgery <https://arxiv.org/abs/2108.01621>`_, ICCV 2021.
    """
    _check_zeros("agreement", zeros)

    def rule(jacobian: Jacobian, state: Any, losses: Any) -> tuple[optax.Updates, Any]:
        facts, structure = _facts(jacobian)
        return structure.unflatten([_phi(fact, zeros) for fact in facts]), state

    return _combiner.apply("agreement", rule, _FORMS, jacobian)[0]


def _phi(fact: SumMinMax, zeros: Zeros) -> jax.Array:
    """Returns Φ of one leaf. All signs are the same if those of the smallest and the largest entry are the same."""
    smallest, largest = fact.smallest, fact.largest
    if zeros == "agree":
        phi = jnp.sign(smallest) == jnp.sign(largest)
    elif zeros == "conflict":
        phi = (smallest > 0) | (largest < 0) | (fact.num_rows == 1)
    else:
        phi = (smallest >= 0) | (largest <= 0)
    return phi | ~(jnp.isfinite(smallest) & jnp.isfinite(largest))  # a NaN or an infinity must be seen, so it stays


def agr_sum(zeros: Zeros = "agree") -> optax.GradientTransformationExtraArgs:
    r"""Sums the gradients where all their signs agree and gives zero elsewhere.

    .. math:: g^*_j = \Phi_j \sum_i g_j^{(i)} \qquad \text{(eq. 3)}

    With the default, a zero in some rows but not in all is a conflict. So a parameter that only one loss uses, such as
    the head of one task, is cut and never trains. ``zeros="abstain"`` is for such heads and for losses that are absent
    in a step.

    Args:
        zeros: ``"agree"``: a component that is zero in all rows agrees, one that is zero in some rows conflicts (eq. 2
            as written). ``"conflict"``: any zero is a conflict (as in the authors' released code). ``"abstain"``: a
            zero has no vote; a component conflicts where one row is positive and another negative.

    Returns:
        A combiner for stacked and accumulated gradients, with an :class:`AgreementState`.

    Raises:
        ValueError: ``zeros`` is none of the three; in ``update``, the gradients do not fit the parameters or each
            other, or are not floating-point; the leaf is named.

    Note:
        The result has the scale of the sum. N = 1 gives back the one gradient. A NaN or an infinity in any row reaches
        the result. Subnormal numbers count as zeros where the hardware flushes them.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from dg_jax import surgery
        >>> def loss(params, x, y):
        ...     return jnp.mean((x @ params - y) ** 2)
        >>> x = jnp.array([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [2.0, 1.0]]])  # two domains, two examples each
        >>> y = x @ jnp.array([1.0, 2.0])
        >>> optimizer = optax.chain(surgery.agr_sum(), optax.sgd(0.1))
        >>> params = jnp.zeros(2)
        >>> state = optimizer.init(params)
        >>> for _ in range(100):
        ...     losses, jacobian = surgery.value_and_grads(loss)(params, x, y)
        ...     updates, state = optimizer.update(jacobian, state, params)
        ...     params = optax.apply_updates(params, updates)
        >>> print(params.round(2))
        [1. 2.]

    References:
        Mansilla et al., `Domain Generalization via Gradient Surgery <https://arxiv.org/abs/2108.01621>`_, ICCV 2021.
    """
    _check_zeros("agr_sum", zeros)

    def init(params: Any) -> AgreementState:
        return AgreementState(jnp.ones([], _jacobian.widest(params)))

    def rule(jacobian: Jacobian, state: AgreementState, losses: Any) -> tuple[optax.Updates, AgreementState]:
        facts, structure = _facts(jacobian)
        phi = [_phi(fact, zeros) for fact in facts]
        counts = [_fast.count(agrees & _votes(fact, zeros)) for agrees, fact in zip(phi, facts, strict=True)]
        consensus = [
            jnp.where(agrees, fact.total, 0).astype(fact.smallest.dtype)  # eq. 3
            for agrees, fact in zip(phi, facts, strict=True)
        ]
        return structure.unflatten(consensus), AgreementState(_share(_in_all(counts, facts), facts, zeros))

    return _combiner.combiner("agr_sum", init, rule, _FORMS)


class AgrRandState(NamedTuple):
    """The random key, and what the last update saw.

    Attributes:
        key: typed PRNG key from which the next update draws.
        agreement: as in :class:`AgreementState`.
        sigma: standard deviation σ of the noise, scalar, in the gradient's unit; 0 before the first update.
    """

    key: jax.Array
    agreement: jax.Array
    sigma: jax.Array


def agr_rand(key: int | jax.Array = 0, zeros: Zeros = "agree") -> optax.GradientTransformationExtraArgs:
    r"""Sums the gradients where all their signs agree and draws noise elsewhere.

    .. math::
        g^*_j = \begin{cases} \sum_i g_j^{(i)} & \Phi_j = 1 \\ \epsilon_j \sim N(0, \sigma^2) & \Phi_j = 0 \end{cases}
        \qquad \text{(eq. 4)} \qquad
        \sigma = \frac{\sum_j \Phi_j |\sum_i g_j^{(i)}|}{\sum_j \Phi_j} \qquad \text{(section 3.2)}

    With the default, a zero in some rows but not in all is a conflict. So a parameter that only one loss uses, such as
    the head of one task, gets noise and never trains. ``zeros="abstain"`` is for such heads and for losses that are
    absent in a step.

    Args:
        key: an integer seed or a key of ``jax.random.key``, the first key of the state; may be traced. Two optimizers
            with the same key, such as the default, draw the same noise.
        zeros: as in :func:`agr_sum`. Components that are zero in all rows stay zero and lower σ with ``"agree"``, get
            noise with ``"conflict"``, and stay zero and do not change σ with ``"abstain"``.

    Returns:
        A combiner for stacked and accumulated gradients, with an :class:`AgrRandState`, whose key advances.

    Raises:
        ValueError: as :func:`agr_sum`, or ``key`` is neither an integer nor a key.

    Note:
        The result has the scale of the sum. σ is computed over the whole tree, and is 0 where nothing agrees. N = 1
        gives back the one gradient. A NaN or an infinity in any row reaches the result, and through σ the noise.
        Subnormal numbers count as zeros where the hardware flushes them.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from dg_jax import surgery
        >>> def loss(params, x):
        ...     return jnp.sum((params - x) ** 2)
        >>> optimizer = optax.chain(surgery.agr_rand(key=0), optax.adam(0.1))
        >>> params = jnp.zeros(2)
        >>> state = optimizer.init(params)
        >>> for _ in range(10):
        ...     losses, jacobian = surgery.value_and_grads(loss)(params, jnp.array([[5.0, 2.0], [5.0, -2.0]]))
        ...     updates, state = optimizer.update(jacobian, state, params)
        ...     params = optax.apply_updates(params, updates)
        >>> print(params[0].round(1), state[0].agreement)
        1.0 0.5

    References:
        Mansilla et al., `Domain Generalization via Gradient Surgery <https://arxiv.org/abs/2108.01621>`_, ICCV 2021.
    """
    _check_zeros("agr_rand", zeros)

    def init(params: Any) -> AgrRandState:
        dtype = _jacobian.widest(params)
        return AgrRandState(_combiner.random_key(key), jnp.ones([], dtype), jnp.zeros([], dtype))

    def rule(jacobian: Jacobian, state: AgrRandState, losses: Any) -> tuple[optax.Updates, AgrRandState]:
        facts, structure = _facts(jacobian)
        phi = [_phi(fact, zeros) for fact in facts]
        counts, magnitudes = zip(*map(functools.partial(_count_and_magnitude, zeros), facts, phi), strict=True)
        agreeing = _in_all(counts, facts)
        sigma = _in_all(magnitudes, facts) / jnp.maximum(agreeing, 1)

        next_key, noise_key = jax.random.split(state.key)
        consensus = [
            _fast.noise_where(~agrees, leaf_key, sigma.astype(fact.total.dtype), fact.total).astype(fact.smallest.dtype)
            for agrees, leaf_key, fact in zip(phi, jax.random.split(noise_key, len(facts)), facts, strict=True)  # eq. 4
        ]
        return structure.unflatten(consensus), AgrRandState(next_key, _share(agreeing, facts, zeros), sigma)

    return _combiner.combiner("agr_rand", init, rule, _FORMS)


def _count_and_magnitude(zeros: Zeros, fact: SumMinMax, agrees: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns Σ Φ and Σ Φ abs(Σ g) of one leaf, from which σ is made."""
    counted = agrees & _votes(fact, zeros)
    count, magnitude = _fast.sums(counted.astype(jnp.int32), jnp.where(counted, jnp.abs(fact.total), 0))
    return count, magnitude


def _facts(jacobian: Jacobian) -> tuple[list[SumMinMax], Any]:
    return jax.tree.flatten(_jacobian.by_component(jacobian), is_leaf=_jacobian.is_accumulated)


def _votes(fact: SumMinMax, zeros: Zeros) -> jax.Array | bool:
    """Whether a component counts for σ and the agreement. With "abstain", one that is zero in every row does not."""
    return (fact.smallest != 0) | (fact.largest != 0) if zeros == "abstain" else True


def _share(agreeing: jax.Array, facts: list[SumMinMax], zeros: Zeros) -> jax.Array:
    """The share of agreeing components among those that vote; 1 where none votes."""
    if zeros == "abstain":
        voting = _in_all([_fast.count(jnp.asarray(_votes(fact, zeros))) for fact in facts], facts)
    else:
        voting = jnp.asarray(sum(fact.total.size for fact in facts), agreeing.dtype)
    return jnp.where(voting == 0, 1, agreeing / jnp.maximum(voting, 1))


def _in_all(parts: Sequence[jax.Array], facts: list[SumMinMax]) -> jax.Array:
    """The sum over all leaves, in float32, or in float64 where a leaf is float64."""
    dtype = _jacobian.widest(facts)
    return functools.reduce(jnp.add, [part.astype(dtype) for part in parts])


def _check_zeros(name: str, zeros: str) -> None:
    if zeros not in get_args(Zeros):
        raise ValueError(f"{name}: zeros={zeros!r}; give {', '.join(map(repr, get_args(Zeros)))}")
