"""Deep-All: the mean of the gradients, no surgery (paper, eq. 1)."""

import jax.numpy as jnp
import optax

from dg_jax.surgery import stack


def deep_all() -> optax.GradientTransformationExtraArgs:
    """Averages the stacked gradients.

    This is the gradient of the mean of the N losses: the paper's baseline, and the
    one combiner here that returns a mean and not a sum.

    Returns:
        A combiner: ``update`` takes leaves ``[N, *shape]`` and returns ``[*shape]`` in
        the leaves' dtype. It has no state. Leaves that disagree in N, and an empty
        tree, are a ``ValueError`` that names the leaf.

    Example:
        >>> import jax.numpy as jnp
        >>> from dg_jax import surgery
        >>> combiner = surgery.deep_all()
        >>> gradient, _ = combiner.update(jnp.array([[1.0, 2.0], [3.0, -2.0]]), combiner.init(jnp.zeros(2)))
        >>> print(gradient)
        [2. 0.]

    Reference:
        Mansilla et al., "Domain Generalization via Gradient Surgery", ICCV 2021, eq. 1.
    """

    def update(stacked, state, params=None, **extra):
        del params, extra
        n = stack.num_rows(stacked)
        return stack.weighted_sum(stacked, jnp.full(n, 1 / n, jnp.float32)), state

    return optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
