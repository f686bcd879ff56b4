"""Compares combiners on a mesh of host devices with one device. A separate program: XLA counts devices at its start.

XLA_FLAGS=--xla_force_host_platform_device_count=8 python -m tests.surgery.meshes
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from dg_jax import surgery

N = jax.device_count()
COMBINERS = {
    "deep_all": surgery.deep_all,
    "sum": surgery.sum,
    "agr_sum": surgery.agr_sum,
    "agr_sum_abstain": lambda: surgery.agr_sum("abstain"),
    "agr_rand": surgery.agr_rand,
    "pcgrad": surgery.pcgrad,
    "cagrad": surgery.cagrad,  # stands for all rules on the Gramian: it has all their kinds of loop
    "and_mask": lambda: surgery.and_mask(0.5),
    "grad_vac": lambda: surgery.grad_vac(num_rows=N),
    "gga_l": surgery.gga_l,
    "median": surgery.median,
    "group_dro": lambda: surgery.group_dro(num_rows=N),
}
LOSSES = jnp.linspace(0, 1, N)


def gradients(dtype):
    """Leaves that divide over the devices, leaves that do not, and one long enough for the fast forms of a CPU."""
    rng = np.random.default_rng(0)
    shapes = {"w": (2 * N, 16), "b": (3,), "s": (), "long": (40_003,)}
    # Integers: then the order of a sum does not matter, and no sign depends on rounding.
    return {name: jnp.asarray(rng.integers(-4, 5, (N, *shape)), dtype) for name, shape in shapes.items()}


def placed(stacked, mesh, rows):
    """Splits the rows, or the components where they divide, over the devices; copies the other leaves to all."""

    def spec(leaf):
        if rows:
            return P("d")
        return P(None, "d") if leaf.ndim > 1 and leaf.shape[1] % N == 0 else P()

    return jax.tree.map(lambda leaf: jax.device_put(leaf, NamedSharding(mesh, spec(leaf))), stacked)


def check(what, result, expected, dtype):
    tolerance = 1e-6 if dtype == jnp.float32 else 1e-2
    for name, leaf in expected.items():
        wanted, got = np.asarray(leaf, np.float32), np.asarray(result[name], np.float32)
        np.testing.assert_allclose(
            got, wanted, rtol=tolerance, atol=tolerance * np.abs(wanted).max(), err_msg=f"{what} {name}"
        )
    print(what, "ok", flush=True)


def check_on_meshes(name, dtype, stacked, expected, expected_state):
    combiner = COMBINERS[name]()
    for kind in (jax.sharding.AxisType.Auto, jax.sharding.AxisType.Explicit):
        mesh = jax.make_mesh((N,), ("d",), axis_types=(kind,))
        for rows in (True, False):
            sharded = placed(stacked, mesh, rows)
            what = f"{name} {dtype.__name__} {kind} {'rows' if rows else 'components'}"
            with jax.set_mesh(mesh):
                result, state = jax.jit(combiner.update)(sharded, combiner.init(None), losses=LOSSES)
            check(what, result, expected, dtype)
            for field in state._fields:
                if field not in ("key",):
                    np.testing.assert_allclose(getattr(state, field), getattr(expected_state, field), rtol=1e-5)
                if name == "median":
                    found = surgery.diagnostics(sharded, result)
                    np.testing.assert_allclose(found, surgery.diagnostics(stacked, expected), rtol=1e-2, atol=1e-3)
            if kind == jax.sharding.AxisType.Explicit:  # also without jax.set_mesh, and outside of jit
                result, _ = combiner.update(sharded, combiner.init(None), losses=LOSSES)
                check(f"{what} eager", result, expected, dtype)
                if name.startswith(("agr", "deep", "sum")) and not rows:
                    total = surgery.accumulate(jax.tree.map(lambda leaf: leaf[0], sharded))
                    jax.jit(combiner.update)(total, combiner.init(None))
                    assert name != "agr_sum" or surgery.agreement(sharded)["w"].dtype == bool


def check_in_shard_map(name, dtype, stacked, expected):
    combiner = COMBINERS[name]()
    mesh = jax.make_mesh((N,), ("d",))
    for check_vma in (True, False):

        def gathered(rows):
            rows = jax.tree.map(lambda leaf: jax.lax.all_gather(leaf, "d", tiled=True), rows)
            result, _ = combiner.update(rows, combiner.init(None), losses=LOSSES)
            return jax.tree.map(lambda leaf: leaf[None], result)

        mapped = jax.jit(jax.shard_map(gathered, mesh=mesh, in_specs=P("d"), out_specs=P("d"), check_vma=check_vma))
        results = mapped(placed(stacked, mesh, rows=True))
        check(
            f"{name} {dtype.__name__} shard_map {check_vma}",
            jax.tree.map(lambda leaf: np.asarray(leaf)[0], results),
            expected,
            dtype,
        )


def check_two_pass():
    """Losses whose rows are sharded, and whose parameters are on all devices."""

    def loss(params, x):
        return jnp.sum(jnp.tanh(x @ params["w"]) @ params["v"])

    rng = np.random.default_rng(0)
    params = {"w": jnp.asarray(rng.normal(size=(5, 2 * N)), jnp.float32), "v": jnp.ones(2 * N)}
    x = jnp.asarray(rng.normal(size=(N, 4, 5)), jnp.float32)
    for name in ("pcgrad", "group_dro", "deep_all", "sum"):
        combiner = COMBINERS[name]()

        def step(params, x, combiner=combiner):
            losses, jacobian = surgery.value_and_grads(loss, "two_pass")(params, x)
            return combiner.update(jacobian, combiner.init(params), params, losses=losses)[0]

        expected = jax.jit(step)(params, x)
        for kind in (jax.sharding.AxisType.Auto, jax.sharding.AxisType.Explicit):
            mesh = jax.make_mesh((N,), ("d",), axis_types=(kind,))
            with jax.set_mesh(mesh):
                on_rows = jax.device_put(x, NamedSharding(mesh, P("d")))
                everywhere = jax.device_put(params, NamedSharding(mesh, P()))
                check(f"{name} two_pass {kind} rows", jax.jit(step)(everywhere, on_rows), expected, jnp.float32)


def main():
    check_two_pass()
    # bfloat16 runs on 8 devices only: what a dtype changes does not depend on their number.
    for dtype in (jnp.float32, jnp.bfloat16) if N == 8 else (jnp.float32,):
        stacked = gradients(dtype)
        for name, factory in COMBINERS.items():
            combiner = factory()
            expected, state = jax.jit(combiner.update)(stacked, combiner.init(None), losses=LOSSES)
            check_on_meshes(name, dtype, stacked, expected, state)
            check_in_shard_map(name, dtype, stacked, expected)


if __name__ == "__main__":
    main()
