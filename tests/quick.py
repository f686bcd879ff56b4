"""Compiles without LLVM's optimisation: for programs that run once on a few numbers it would take longest."""

import jax

OPTIONS = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}


def jit(function, **options):
    """:func:`jax.jit` with the same passes over the computation, but machine code that is not optimised."""
    return jax.jit(function, compiler_options=OPTIONS, **options)
