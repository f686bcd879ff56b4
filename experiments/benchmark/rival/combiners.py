"""The combiners in PyTorch: a stack of flat gradients ``[N, n]`` in, one gradient ``[n]`` out."""

import torch


def deep_all(stack: torch.Tensor) -> torch.Tensor:
    """Mean of the gradients."""
    return stack.mean(0)


def agree(stack: torch.Tensor) -> torch.Tensor:
    """Eq. 2 of the paper: where the signs of all N gradients are the same."""
    return torch.sign(stack).sum(0).abs() == len(stack)


def agr_sum(stack: torch.Tensor) -> torch.Tensor:
    """Eq. 3: the sum where the signs agree, else zero."""
    return torch.where(agree(stack), stack.sum(0), 0.0)


def sigma(total: torch.Tensor, agreeing: torch.Tensor) -> torch.Tensor:
    """Section 3.2: the mean absolute value of the agreeing components of the sum."""
    return total[agreeing].abs().mean()


def agr_rand(stack: torch.Tensor) -> torch.Tensor:
    """Eq. 4: the sum where the signs agree, else a draw of N(0, σ²)."""
    agreeing, total = agree(stack), stack.sum(0)
    return torch.where(agreeing, total, sigma(total, agreeing) * torch.randn_like(total))


def pcgrad(stack: torch.Tensor) -> torch.Tensor:
    """Eq. 5: each gradient is projected off the others that it conflicts with, in a random order."""
    projected = stack.clone()
    for i in range(len(stack)):
        for j in torch.randperm(len(stack)).tolist():
            inner = projected[i] @ stack[j]
            if j != i and inner < 0:
                projected[i] -= inner / (stack[j] @ stack[j]) * stack[j]
    return projected.sum(0)


def group_weights(weights: torch.Tensor, losses: torch.Tensor, step_size: float) -> torch.Tensor:
    """Group DRO's q, ``[N]``: grown by exp(step size · loss) and normalised."""
    grown = weights * torch.exp(step_size * losses)
    return grown / grown.sum()


def group_dro(stack: torch.Tensor, weights: torch.Tensor, losses: torch.Tensor, step_size: float) -> torch.Tensor:
    """Sum of the gradients weighted by the new q."""
    return group_weights(weights, losses, step_size) @ stack
