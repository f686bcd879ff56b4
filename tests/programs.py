"""The program that JAX gives to XLA for a function, as operations of StableHLO."""

import collections
import re

import jax


def text(function, *arguments, platform: str = "cpu") -> str:
    """Returns the program of a function of arrays or shapes."""
    return jax.jit(function).trace(*arguments).lower(lowering_platforms=(platform,)).as_text()


def operations(function, *arguments, platform: str = "cpu") -> collections.Counter[str]:
    """Returns how often each operation is in the program."""
    return collections.Counter(re.findall(r"stablehlo\.(\w+)", text(function, *arguments, platform=platform)))


def products(function, *arguments) -> set[str]:
    """Returns the dtypes that the matrix products and convolutions of a program take."""
    lines = re.findall(r"stablehlo\.(?:dot_general|convolution).*", text(function, *arguments))
    return {dtype for line in lines for dtype in re.findall(r": \(tensor<(?:\d+x)*(\w+)>", line)}
