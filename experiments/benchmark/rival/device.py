"""PyTorch on the device that JAX computes on, with the same arithmetic and as many threads."""

import contextlib
import os
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import torch

from dg_jax import errors


def set_up() -> torch.device:
    """Returns PyTorch's device.

    Raises:
        UserError: JAX computes on a GPU that this PyTorch cannot use.
    """
    torch.set_num_threads(os.cpu_count() or 1)
    if jax.default_backend() == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise errors.UserError(
            f"JAX computes on {jax.devices()[0].device_kind}, but this PyTorch has no CUDA; "
            "install one that has, or set JAX_PLATFORMS=cpu"
        )
    _allow_tf32(True)
    torch.backends.cudnn.benchmark = True  # XLA, too, tries several kernels and takes the quickest
    return torch.device("cuda")


def arithmetic() -> str:
    """Names what both compute in, for a table's caption."""
    if jax.default_backend() == "cpu":
        return f"float32; PyTorch with {torch.get_num_threads()} threads, JAX with one for each core"
    return "float32, matrix products and convolutions in TF32 in both, as JAX does by default on a GPU"


@contextlib.contextmanager
def exact_arithmetic():
    """Within it both compute products in full float32, so that their numbers can be compared."""
    if jax.default_backend() == "cpu":
        yield
        return
    _allow_tf32(False)
    with jax.default_matmul_precision("highest"):
        yield
    _allow_tf32(True)


def wait(device: torch.device) -> None:
    """Returns once the device has done all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def tensor(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """Returns the array as a tensor on the device; on a CPU they share their memory."""
    return torch.from_numpy(array).to(device)


def _allow_tf32(allowed: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def copies(stack: np.ndarray) -> dict[tuple[str, str], Callable[[], object]]:
    """Returns functions that copy an array on the device, with PyTorch and with JAX, to measure what memory can do."""
    device = set_up()
    on_device, ours = tensor(stack, device), jnp.asarray(stack)
    target = torch.empty_like(on_device)
    copy = jax.jit(jnp.copy)

    def in_place():
        target.copy_(on_device)
        wait(device)

    return {("in place", "PyTorch"): in_place, ("new", "JAX"): lambda: jax.block_until_ready(copy(ours))}
