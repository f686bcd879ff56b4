"""A training step in plain eager PyTorch, as the paper's own code takes it."""

import torch
from torch import nn
from torch.nn import functional

from dg_jax import imagenet
from experiments.benchmark.rival import combiners

Source = tuple[torch.Tensor, torch.Tensor]
COMBINERS = {"agr_sum": combiners.agr_sum, "agr_rand": combiners.agr_rand, "pcgrad": combiners.pcgrad}
STRATEGIES = ("deep_all", *COMBINERS, "group_dro")


class Training:
    """Takes steps with one strategy: sampling, gradients, combiner, L2, Adam.

    Args:
        strategy: one of :data:`STRATEGIES`.
        network: whose parameters are trained.
        sources: for each domain images, uint8 ``[n, 3, H, W]``, and labels, int64 ``[n]``, on the device.
        batch_size: images of each source in a step.
        learning_rate: of Adam.
        weight_decay: of the L2 term.
        step_size: of Group DRO.
    """

    def __init__(
        self,
        strategy: str,
        network: nn.Module,
        sources: list[Source],
        *,
        batch_size: int,
        learning_rate: float,
        weight_decay: float,
        step_size: float,
    ):
        self.network = network
        self.optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate, weight_decay=weight_decay)
        self._strategy = strategy
        self._sources = sources
        self._batch_size = batch_size
        self._step_size = step_size
        self._parameters = list(network.parameters())
        like = self._parameters[0]
        self._mean = like.new_tensor(imagenet.MEAN).view(3, 1, 1)
        self._std = like.new_tensor(imagenet.STD).view(3, 1, 1)
        self._weights = like.new_full((len(sources),), 1 / len(sources))

    def step(self) -> torch.Tensor:
        """Takes a step and returns the losses on the device: one for each domain, or for Deep-All one of all."""
        batches = [self._draw(source) for source in self._sources]
        self.optimizer.zero_grad()
        if self._strategy == "deep_all":
            losses = self._pooled(batches)
        elif self._strategy == "group_dro":
            losses = self._group_dro(batches)
        else:
            losses = self._surgery(batches)
        self.optimizer.step()
        return losses

    def _draw(self, source: Source) -> Source:
        images, labels = source
        chosen = torch.randperm(len(labels), device=labels.device)[: self._batch_size]
        return (images[chosen].to(self._mean.dtype) / 255 - self._mean) / self._std, labels[chosen]

    def _loss(self, batch: Source) -> torch.Tensor:
        images, labels = batch
        return functional.cross_entropy(self.network(images), labels)

    def _pooled(self, batches: list[Source]) -> torch.Tensor:
        loss = self._loss((torch.cat([images for images, _ in batches]), torch.cat([labels for _, labels in batches])))
        loss.backward()
        return loss.detach()[None]

    def _group_dro(self, batches: list[Source]) -> torch.Tensor:
        losses = torch.stack([self._loss(batch) for batch in batches])
        self._weights = combiners.group_weights(self._weights, losses.detach(), self._step_size)
        (self._weights @ losses).backward()  # the weighted sum of the gradients, without a stack of them
        return losses.detach()

    def _surgery(self, batches: list[Source]) -> torch.Tensor:
        losses, rows = [], []
        for batch in batches:
            self.optimizer.zero_grad()
            loss = self._loss(batch)
            loss.backward()
            losses.append(loss.detach())
            rows.append(torch.cat([p.grad.flatten() for p in self._parameters if p.grad is not None]))
        gradient = COMBINERS[self._strategy](torch.stack(rows))
        pieces = gradient.split([p.numel() for p in self._parameters])
        for parameter, piece in zip(self._parameters, pieces, strict=True):
            parameter.grad = piece.view_as(parameter)
        return torch.stack(losses)
