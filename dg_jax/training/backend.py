"""Settings that depend on the device: compiler options, and what is kept in memory and on disk."""

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
    """Whether JAX computes on a CPU, where other forms of a computation are the fast ones."""
    return jax.default_backend() == "cpu"


def compiler_options() -> dict[str, str | bool]:
    """Returns XLA's options for a training step.

    On a CPU: compute in the order that needs the least memory. XLA's default there computes as much as possible in
    parallel. It then holds the activations of all domains at once, which takes more memory and no less time.
    """
    return {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"} if is_cpu() else {}


def keep_memory(params: chex.ArrayTree) -> None:
    """Makes the C library of Linux keep freed memory, for the whole process, if a CPU trains a small network.

    XLA allocates a program's memory at each call. By default the library gets blocks above 32 MB from the system, which
    clears them page by page. This slows a small network down. With a large network Agr-Sum is slower if memory is kept.
    """
    is_small = sum(leaf.size for leaf in jax.tree.leaves(params)) < _LARGE
    if is_small and is_cpu() and platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_MAX, 0)
        library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def keep_compiled_programs() -> None:
    """Makes JAX keep compiled programs on disk, so that the next start of the same run need not compile them.

    The folder is the one that ``JAX_COMPILATION_CACHE_DIR`` names, by default ``~/.cache/dg_jax``. If there is no home
    folder, or the folder cannot be created, every start compiles. On a CPU with JAX before 0.10.2 this does nothing:
    that JAX takes its own machine's programs for another machine's, and prints a long warning for each (JAX's issue
    38445).
    """
    if jax.__version_info__ < (0, 10, 2) and is_cpu():
        return
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        with contextlib.suppress(OSError, RuntimeError):
            folder = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "dg_jax"
            folder.mkdir(parents=True, exist_ok=True)
            jax.config.update("jax_compilation_cache_dir", str(folder))
    # A start compiles many programs, most of them tiny. By default JAX would not keep those.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
