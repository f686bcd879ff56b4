import chex
import jax

from dg_jax.objectives.erm import erm
from dg_jax.objectives.pooled import pooled
from tests.objectives.worlds import apply_fn, domain_batch, evaluate

ERM = erm(apply_fn)


def test_pooled_is_the_mean_of_the_rows_of_erm():
    batch = domain_batch()
    mean = jax.tree.map(lambda leaf: leaf.mean(axis=0, keepdims=True), evaluate(ERM, batch))
    result = evaluate(pooled(apply_fn), batch)
    chex.assert_trees_all_equal_shapes_and_dtypes(result, mean)
    chex.assert_trees_all_close(result, mean, rtol=1e-5, atol=1e-6)
