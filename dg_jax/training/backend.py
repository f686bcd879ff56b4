"""Where a form of a computation is chosen by the device that it runs on."""

import contextlib
import ctypes
import os
import pathlib
import platform

import chex
import jax

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of malloc.h
_LARGE = 1e6  # parameters


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


def keep_memory(params: chex.ArrayTree) -> None:
    """Makes the C library of Linux keep memory that is free, for the whole process, where a CPU trains a small network.

    XLA asks for a program's memory at each of its calls. More than 32 MB the library by default takes from the system,
    which clears it page by page: half of the time of a Deep-All step of SmallCNN. A large network gains nothing:
    AlexNet's Agr-Sum takes a tenth longer so.
    """
    is_small = sum(leaf.size for leaf in jax.tree.leaves(params)) < _LARGE
    if is_small and is_cpu() and platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_MAX, 0)
        library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def keep_compiled_programs() -> None:
    """Makes JAX keep what it compiles, so that the next start of the same run need not wait for it.

    The folder is the one that ``JAX_COMPILATION_CACHE_DIR`` names, by default
    ``~/.cache/dg_jax``; where there is no home folder or it cannot be written, every start compiles. So it does on a
    CPU with JAX before 0.10.2, which takes programs of this very machine for another's and
    prints 6 kB on stderr for each (JAX's issue 38445).
    """
    if jax.__version_info__ < (0, 10, 2) and is_cpu():
        return
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        with contextlib.suppress(OSError, RuntimeError):
            folder = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "dg_jax"
            folder.mkdir(parents=True, exist_ok=True)
            jax.config.update("jax_compilation_cache_dir", str(folder))
    # A start compiles some 60 programs, most of them tiny ones that JAX by default would not keep.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
