"""A VAE as people write one, in torch alone, for the check-up to be tried on."""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import nn

from vaelib import checkup


def trained(model, x, beta=1.0):
    """The model after some steps, so that its aggregate posterior is near the prior."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(60):
            mu, log_var = model.encode(x)
            value = model.loss(x, model.sample(mu, log_var), mu, log_var, beta=beta)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    optimizer.zero_grad()
    return model


class Plain(nn.Module):
    """A VAE as people write one: any shape of x, a Gaussian decoder or a Bernoulli one."""

    def __init__(self, shape, d, kind, hidden=(16,), convolutional=False, learn=False, dtype=torch.float32, seed=0):
        super().__init__()
        self.shape, self.D, self.kind = shape, math.prod(shape), kind
        widths = [self.D, *hidden]
        layers = [nn.Flatten()] if not convolutional else [nn.Conv2d(shape[0], 2, 3, padding=1), nn.Tanh(), nn.Flatten()]
        widths[0] = 2 * shape[-1] * shape[-2] if convolutional else self.D
        for a, b in itertools.pairwise(widths):
            layers += [nn.Linear(a, b), nn.Tanh()]
        self.body, self.head = nn.Sequential(*layers), nn.Linear(widths[-1], 2 * d)
        self.decoder = nn.Sequential(nn.Linear(d, 16), nn.Tanh(), nn.Linear(16, self.D))
        self.log_sigma = nn.Parameter(torch.tensor(math.log(0.4)), requires_grad=learn)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in [*self.body.parameters(), *self.head.parameters(), *self.decoder.parameters()]:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
        self.to(dtype)

    def encode(self, x):
        mu, log_var = self.head(self.body(x)).chunk(2, -1)
        return mu, log_var

    def decode(self, z):
        return self.decoder(z).view(-1, *self.shape)

    def log_likelihood(self, x, z):
        out = self.decode(z)
        if self.kind == "bernoulli":
            return -F.binary_cross_entropy_with_logits(out, x, reduction="none").flatten(1).sum(1)
        sigma = self.log_sigma.exp()
        return torch.distributions.Normal(out, sigma).log_prob(x).flatten(1).sum(1)

    def sample(self, mu, log_var):
        return mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)

    def loss(self, x, z, mu, log_var, beta=1.0):
        return (-self.log_likelihood(x, z) + beta * kl(mu, log_var)).mean()

    def bound(self, x, k):
        mu, log_var = self.encode(x)
        q = torch.distributions.Normal(mu, torch.exp(0.5 * log_var))
        z = q.sample((k,))
        log_w = torch.stack([self.log_likelihood(x, each) for each in z])
        log_w = log_w + (torch.distributions.Normal(0, 1).log_prob(z) - q.log_prob(z)).sum(-1)
        return torch.logsumexp(log_w, 0) - math.log(k)


def kl(mu, log_var):
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)


def data(shape, kind, n=60, dtype=torch.float32):
    values = torch.rand(n, *shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
    return (values > 0.5).to(dtype) if kind == "bernoulli" else 2 * values - 1


def examine(model, x, **changes):
    given = {"loss": model.loss, "sample": model.sample, "bound": model.bound, "draws": 50, **changes}
    encode, log_likelihood = given.pop("encode", model.encode), given.pop("log_likelihood", model.log_likelihood)
    return checkup.report(x, encode=encode, log_likelihood=log_likelihood, batch_size=20, **given)
