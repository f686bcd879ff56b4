"""The published updates in PyTorch, float64, for the network of this folder.

The function of each method returns the gradient that the optimizer gets, as a dict like the parameters; some also
return a loss or a state. All is computed from the formulas with PyTorch's autograd and optimizers.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'dg_jax[parity]'")

from torch.nn import functional  # noqa: E402


def tensor(array):
    array = torch.as_tensor(np.asarray(array).copy())
    return array.double() if array.is_floating_point() else array.long()


def variables(arrays):
    return {name: tensor(value).requires_grad_() for name, value in arrays.items()}


def logits(params, images):
    hidden = torch.relu(images.flatten(1) @ params["w1"] + params["b1"])
    return hidden @ params["w2"] + params["b2"]


def risk(params, batch, domain):
    return functional.cross_entropy(logits(params, tensor(batch["image"][domain])), tensor(batch["label"][domain]))


def risks(params, batch):
    return torch.stack([risk(params, batch, domain) for domain in range(len(batch["label"]))])


def gradient(value, params, **options):
    return dict(zip(params, torch.autograd.grad(value, list(params.values()), **options), strict=True))


def deep_all(params, batch):
    return gradient(risks(params, batch).mean(), params)


def agr_sum(params, batch):
    """Eq. 3 of the paper: the sum where the signs of all domains are the same, else zero."""
    by_domain = [gradient(risk(params, batch, domain), params) for domain in range(len(batch["label"]))]
    consensus = {}
    for name in params:
        rows = torch.stack([g[name] for g in by_domain])
        same = torch.sign(rows).sum(0).abs() == len(rows)
        consensus[name] = rows.sum(0) * same
    return consensus


def irm(params, batch, weight):
    """IRMv1: mean over the domains of risk + weight × the squared scale gradient, estimated on two halves."""
    total = 0
    for domain in range(len(batch["label"])):
        outputs, labels = logits(params, tensor(batch["image"][domain])), tensor(batch["label"][domain])
        slopes = []
        for half in (slice(0, None, 2), slice(1, None, 2)):
            scale = torch.ones((), dtype=torch.float64, requires_grad=True)
            value = functional.cross_entropy(outputs[half] * scale, labels[half])
            slopes.append(torch.autograd.grad(value, scale, create_graph=True)[0])
        total = total + functional.cross_entropy(outputs, labels) + weight * slopes[0] * slopes[1]
    total = total / len(batch["label"])
    return total.item(), gradient(total, params)


def vrex(params, batch, weight):
    """The mean of the risks plus weight times their variance."""
    values = risks(params, batch)
    total = values.mean() + weight * ((values - values.mean()) ** 2).mean()
    return total.item(), gradient(total, params)


def iga(params, batch, weight):
    """The mean of the risks plus weight times the squared distances of their gradients to the mean gradient."""
    values = risks(params, batch)
    slopes = [list(gradient(value, params, create_graph=True).values()) for value in values]
    spread = 0
    for of_leaf in zip(*slopes, strict=True):
        mean = torch.stack(of_leaf).mean(0)  # differentiated too, but its derivative is 0
        spread = spread + sum(((one - mean) ** 2).sum() for one in of_leaf)
    total = values.mean() + weight * spread
    return total.item(), gradient(total, params)


def features(params, batch, domain):
    return torch.relu(tensor(batch["image"][domain]).flatten(1) @ params["w1"] + params["b1"])


def moments_apart(x, y):
    means = ((x.mean(0) - y.mean(0)) ** 2).mean()
    return means + ((torch.cov(x.T) - torch.cov(y.T)) ** 2).mean()


def discrepancy(x, y):
    def kernel(a, b):
        squares = ((a[:, None] - b[None]) ** 2).sum(-1)
        return sum(torch.exp(-(10.0**power) * squares) for power in range(-3, 4)).mean()

    return kernel(x, x) + kernel(y, y) - 2 * kernel(x, y)


def matched(params, batch, weight, apart):
    """The mean of the risks plus weight times the mean distance of the features over all pairs of domains."""
    n = len(batch["label"])
    of_domains = [features(params, batch, domain) for domain in range(n)]
    pairs = [apart(of_domains[i], of_domains[k]) for i in range(n) for k in range(i)]
    total = risks(params, batch).mean() + weight * sum(pairs) / len(pairs)
    return total.item(), gradient(total, params)


def fishr(params, batch, kept, weight, ema):
    """The mean risk plus weight times the squared distances of the variances, averaged over steps, to their mean.

    PyTorch takes the gradients of single images, one image after the other.
    """
    last = [params["w2"], params["b2"]]
    own = []
    for domain in range(len(batch["label"])):
        outputs, labels = logits(params, tensor(batch["image"][domain])), tensor(batch["label"][domain])
        each = []
        for output, label in zip(outputs, labels, strict=True):
            value = functional.cross_entropy(output[None], label[None])
            slopes = torch.autograd.grad(value, last, create_graph=True)
            each.append(torch.cat([slope.flatten() for slope in slopes]))
        own.append(torch.stack(each).var(0, correction=0))
    gathered = (1 - ema) * torch.stack(own) + (0 if kept is None else ema * kept)
    corrected = gathered / (1 - ema)
    penalty = ((corrected - corrected.mean(0)) ** 2).mean(1).mean()
    total = risks(params, batch).mean() + weight * penalty
    return total.item(), gradient(total, params), gathered.detach()


def mixup(params, batch, pairs, lams):
    """Mean over the pairs (i, j) of the loss on λ x_i + (1-λ) x_j against the labels of both."""
    total = 0
    for (i, j), lam in zip(pairs, lams, strict=True):
        outputs = logits(params, lam * tensor(batch["image"][i]) + (1 - lam) * tensor(batch["image"][j]))
        for domain, share in ((i, lam), (j, 1 - lam)):
            total = total + share * functional.cross_entropy(outputs, tensor(batch["label"][domain]))
    total = total / len(pairs)
    return total.item(), gradient(total, params)


def group_dro(params, batch, weights, step_size):
    """Algorithm 1 with one batch of each group: q first, then the gradient of q · losses."""
    losses = risks(params, batch)
    grown = weights * torch.exp(step_size * losses.detach())
    weights = grown / grown.sum()
    return gradient(weights @ losses, params), weights


def mldg_first_order(params, batch, pairs, learning_rate, weight_decay, beta):
    """Sum over the pairs of ∇L_i + β ∇L_j, divided by N; ∇L_j is taken at a copy that Adam moved."""
    total = {name: torch.zeros_like(value) for name, value in params.items()}
    for i, j in pairs:
        copy = {name: value.detach().clone().requires_grad_() for name, value in params.items()}
        adam = torch.optim.Adam(copy.values(), lr=learning_rate, weight_decay=weight_decay)
        risk(copy, batch, i).backward()
        train = {name: value.grad.clone() for name, value in copy.items()}
        adam.step()
        test = gradient(risk(copy, batch, j), copy)
        for name in total:
            total[name] += (train[name] + beta * test[name]) / len(batch["label"])
    return total


def mldg_second_order(params, batch, pairs, learning_rate, weight_decay, beta):
    """The same with ∇L_j taken through Adam's first step, which is written out with its moments."""
    total = 0
    for i, j in pairs:
        train_risk = risk(params, batch, i)
        slopes = gradient(train_risk, params, create_graph=True)
        moved = {}
        for name, value in params.items():
            slope = slopes[name] + weight_decay * value
            first, second = (1 - 0.9) * slope, (1 - 0.999) * slope**2
            moved[name] = value - learning_rate * (first / (1 - 0.9)) / (torch.sqrt(second / (1 - 0.999)) + 1e-8)
        total = total + train_risk + beta * risk(moved, batch, j)
    return gradient(total / len(batch["label"]), params)


def train_adam(params, batches, update, learning_rate, weight_decay):
    """Whole optimizer steps with PyTorch's Adam, which adds the L2 term to the gradient that it gets."""
    adam = torch.optim.Adam(params.values(), lr=learning_rate, weight_decay=weight_decay)
    for batch in batches:
        for name, value in update(params, batch).items():
            params[name].grad = value
        adam.step()
    return params
