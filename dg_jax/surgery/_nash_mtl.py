"""Nash-MTL: the step that the losses would agree on in a bargain."""

import jax
import jax.numpy as jnp
import optax

from dg_jax.surgery import _gramian, _solvers


def nash_mtl() -> optax.GradientTransformationExtraArgs:
    r"""Takes the step that the losses would agree on in Nash's bargain: the product of their gains is largest.

    .. math:: g^* = \sum_i w_i g^{(i)}, \qquad G w = 1 / w \text{ (component by component)}, \quad w > 0

    with the Gramian G.

    Returns:
        A combiner for stacked and two-pass Jacobians, with a :class:`GramianState`.

    Raises:
        ValueError: in ``update``, the gradients do not fit the parameters or each other, or are not floating-point;
            the leaf is named.

    Note:
        The result has a scale of its own: it is about sqrt(N) long for gradients of any norm, and does not change with
        the norm of one of them. It is neither divided by the norm of G nor clipped, unlike in the authors' code; if you
        want that, add ``optax.clip_by_global_norm`` after it in the chain. N = 1 gives the gradient divided by its
        norm. A zero gradient has weight 0. Where gradients cancel, as two opposite ones do, there is no solution: a
        ridge of 4 N eps on the cosines keeps the weights finite. A NaN or an infinity in any row makes the whole result
        NaN. Stacked gradients may have any norm. Those of a two-pass Jacobian must have norms from 1e-15 to 1e15, so
        that their squares are in range.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> from dg_jax import surgery
        >>> def loss(params, x):
        ...     return jnp.sum((params - x) ** 2)
        >>> optimizer = optax.chain(surgery.nash_mtl(), optax.sgd(0.05))
        >>> @jax.jit
        ... def step(params, state):
        ...     losses, jacobian = surgery.value_and_grads(loss)(params, jnp.array([[1.0, 0.0], [1.0, 2.0]]))
        ...     updates, state = optimizer.update(jacobian, state, params)
        ...     return optax.apply_updates(params, updates), state
        >>> params = jnp.array([4.0, 4.0])
        >>> state = optimizer.init(params)
        >>> for _ in range(100):
        ...     params, state = step(params, state)
        >>> print(bool(abs(params[0] - 1) < 0.1), bool(0 < params[1] < 2.1))  # where no step makes both losses better
        True True

    References:
        Navon et al., `Multi-Task Learning as a Bargaining Game <https://arxiv.org/abs/2202.01017>`_, ICML 2022.
    """

    def weigh(cosines: jax.Array, norms: jax.Array) -> jax.Array:
        # With x_i = w_i |g_i| this is an equation on the cosines alone: C x = 1 / x.
        x = _solvers.power_fixed_point(_gramian.unit_diagonal(cosines), jnp.ones_like(norms), 1.0)
        return x * _gramian.safe_reciprocal(norms)

    return _gramian.combiner("nash_mtl", weigh, -1)
