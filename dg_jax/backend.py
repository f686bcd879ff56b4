"""Where a form of a computation is chosen by the device that it runs on."""

import jax


def is_cpu() -> bool:
    """Whether JAX computes on a CPU, where other forms of the same computation are quick."""
    return jax.default_backend() == "cpu"


def compiler_options() -> dict[str, str | bool]:
    """Returns XLA's options for a training step.

    On a CPU: work in the order that needs the least memory. XLA's default there does as
    much as possible side by side, and so keeps the activations of all domains at once; with
    AlexNet it takes twice the memory and no less time.
    """
    return {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"} if is_cpu() else {}
