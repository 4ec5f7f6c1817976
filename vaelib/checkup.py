r"""A check-up of your own VAE: its callables in, a report out. Explained in chapter 14.

It needs torch and nothing else of your model than functions: `encode`, `log_likelihood` and, if you have them, the loss as you
wrote it, your draw of z and your own estimate of log p(x). It runs on the device and in the type of your data, leaves your model
and torch's random state as they were, and never needs vaelib's own VAE. It is not a test of a training loop: it sees neither
your data loader nor your optimiser.
"""

import html
import itertools
import math
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from vaelib._checks import has_values, require_at_least_one, require_finite, require_tensor
from vaelib.gaussian import gaussian_log_density, reparameterize
from vaelib.kl import kl_to_standard_normal, kl_to_standard_normal_per_dim
from vaelib.likelihood import bernoulli_log_likelihood, continuous_bernoulli_log_likelihood
from vaelib.thresholds import collapse_threshold

ACTIVE = 0.01  # variance of a posterior mean over the data above which its axis is active: Burda et al. (2016)
PROBES = 256  # points at which a formula is compared
DRAWS_OF_Z = 20_000  # by which the mean and the spread of a draw are judged
CLOSE = 5e-3  # relative difference below which two gradients in float32 count as equal
MOST_EIGEN = 4096  # points, or axes, of which the covariance is computed
WIDTH = 88  # of a printed report
WORDS = {"ok": "ok", "note": "note", "look": "LOOK", "wrong": "WRONG", "unseen": "not seen"}

Sampler = Callable[[Tensor, Tensor], Tensor]


class Line(NamedTuple):
    """One line of a report.

    Attributes:
        name: What was looked at.
        verdict: ``"ok"``; ``"note"``, a fact without a verdict; ``"look"``, often a mistake; ``"wrong"``; ``"unseen"``, for
            want of a callable.
        found: What was found.
        expected: What it should be, or what to write instead.
        page: Where the book explains it.
    """

    name: str
    verdict: str
    found: str
    expected: str
    page: str

    def __str__(self) -> str:
        text = _folded(f"{WORDS[self.verdict]:>8}  ", f"{self.name}: {self.found}")
        if self.expected and self.verdict != "ok":
            text += "\n" + _folded(f"{'':8}  -> ", f"{self.expected} ({self.page})")
        return text


@dataclass(frozen=True)
class Report:
    """What a check-up found.

    Attributes:
        lines: One for each thing that was looked at.
        numbers: The numbers of the lines, by name, in nats where they are log densities.
    """

    lines: tuple[Line, ...]
    numbers: dict[str, float]

    @property
    def findings(self) -> tuple[Line, ...]:
        """The lines that ask for something: those that are wrong, and those to look at."""
        return tuple(line for line in self.lines if line.verdict in ("look", "wrong"))

    def __getitem__(self, name: str) -> Line:
        """The line of that name."""
        return next(line for line in self.lines if line.name == name)

    def __str__(self) -> str:
        return "\n".join([*map(str, self.lines), textwrap.fill(NEVER_SEEN, WIDTH)])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{title}</th>" for title in ("", "what", "found", "expected", "explained in"))
        rows = [
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in (WORDS[v], name, found, expected, page)) + "</tr>"
            for name, v, found, expected, page in self.lines
        ]
        return f"<table><tr>{head}</tr>{''.join(rows)}</table><p>{html.escape(NEVER_SEEN)}</p>"


NEVER_SEEN = (
    "Never seen from here: the order of the batches, the optimiser, clipping, a schedule of the weights, whether the points "
    "were held out, and whether encode and log_likelihood belong to the model that you train."
)


def report(
    x: Tensor,
    *,
    encode: Callable[[Tensor], tuple[Tensor, Tensor]],
    log_likelihood: Callable[[Tensor, Tensor], Tensor],
    loss: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] | None = None,
    sample: Sampler | None = None,
    bound: Callable[[Tensor, int], Tensor] | None = None,
    draws: int = 1000,
    batch_size: int = 100,
    seed: int = 0,
) -> Report:
    """Examine a VAE with a normal encoder and the prior N(0, I).

    Put the model in the mode that you want examined (``model.eval()``). Latents may have any shape; their axes are counted as d.

    Args:
        x: Points to examine it on, held out if you can, shape ``(N, ...)``, floating.
        encode: Mean and log variance of q(z|x) for a batch ``(B, ...)``, each ``(B, ...)`` in one shape.
        log_likelihood: log p(x|z) of a batch and of one latent for each of its points: ``(B,)``, in nats.
        loss: The loss as you wrote it, as a function of ``(x, z, mu, log_var)``: one number. Decode z inside.
        sample: Your draw of z from ``(mu, log_var)``.
        bound: Your estimate of log p(x) of a batch with K draws, ``(x, K)`` to ``(B,)``, in nats.
        draws: K of the importance-weighted bound.
        batch_size: Points a step; also the B that reductions are looked for with.
        seed: Of the draws.

    Returns:
        The report; print it, or show it in a notebook.

    Raises:
        ValueError: If `x` is no floating tensor of at least two points, or a callable returns another shape than it should.
    """
    require_tensor("x", x)
    if not x.is_floating_point() or x.ndim < 2 or len(x) < 2 or not x[0].numel():
        raise ValueError(f"x is {x.dtype} of shape {tuple(x.shape)}; expected floating, (N, ...) with N at least 2")
    for name, count in (("draws", draws), ("batch_size", batch_size)):
        require_at_least_one(name, count)
    require_finite("x", x)
    generator = torch.Generator(device=x.device).manual_seed(seed)
    devices = [x.device] if x.device.type == "cuda" else []
    with torch.random.fork_rng(devices):  # a callable may draw: the reader's own stream goes on as if nothing had been
        torch.manual_seed(seed)
        return _Examination(x, encode, log_likelihood, draws, batch_size, generator).report(loss, sample, bound)


class _Examination:
    """The lines of a report as they come, with what several of them need."""

    def __init__(self, x: Tensor, encode: Callable, log_likelihood: Callable, draws: int, batch_size: int, generator) -> None:
        self.x, self.draws, self.batch_size, self.generator = x, draws, min(batch_size, len(x)), generator
        self.D = x[0].numel()
        self._encode, self._log_likelihood = encode, log_likelihood
        self.lines: list[Line] = []
        self.numbers: dict[str, float] = {}
        self.kind, self.sigma = "another", math.nan
        with torch.no_grad():
            parts = [self.encode(batch) for batch in x.split(self.batch_size)]
        self.mu, self.log_var = (torch.cat(part) for part in zip(*parts, strict=True))
        self.d = self.mu[0].numel()

    def report(self, loss: Callable | None, sample: Sampler | None, bound: Callable | None) -> Report:
        self.posterior()
        self.data()
        self.likelihood()
        if loss:
            self.loss(loss)
        else:
            self.add("loss", "unseen", "no loss was given, so neither its KL nor its weights were looked at", "", "chapter 05")
        if sample:
            self.draw(sample)
        else:
            self.add(
                "draw of z",
                "unseen",
                "no sample was given, so its mean, spread and gradient were not looked at",
                "",
                "chapter 04",
            )
        self.evidence(bound)
        return Report(tuple(self.lines), self.numbers)

    def add(self, name: str, verdict: str, found: str, expected: str, page: str) -> None:
        self.lines.append(Line(name, verdict, found, expected, page))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        result = self._encode(x)
        if not isinstance(result, tuple | list) or len(result) != 2 or not all(isinstance(part, Tensor) for part in result):
            raise ValueError(f"encode returned {type(result).__name__}; expected two tensors, mu and log_var")
        mu, log_var = result
        if mu.shape != log_var.shape or mu.ndim < 2 or len(mu) != len(x):
            raise ValueError(
                f"encode returned mu {tuple(mu.shape)} and log_var {tuple(log_var.shape)} for {len(x)} points; "
                f"expected ({len(x)}, ...) twice"
            )
        return mu, log_var

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        value = self._log_likelihood(x, z)
        if not isinstance(value, Tensor) or value.shape != x.shape[:1]:
            found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(
                f"log_likelihood returned {found} for {len(x)} points; expected ({len(x)},): sum over the axes of a point, keep "
                "the points"
            )
        return value

    def normal(self, like: Tensor, *leading: int) -> Tensor:
        """Standard normal noise in the shape of `like`."""
        return torch.randn(*leading, *like.shape, generator=self.generator, dtype=like.dtype, device=like.device)

    def draw_z(self, mu: Tensor, log_var: Tensor) -> Tensor:
        return mu + (0.5 * log_var).exp() * self.normal(mu)

    # What each line is made of

    def posterior(self) -> None:
        """Overflow, activity, and the aggregate of the posteriors."""
        bad = sum((~torch.isfinite(part)).sum().item() for part in (self.mu, self.log_var))
        low, high = self.log_var.min().item(), self.log_var.max().item()
        limit = math.log(torch.finfo(self.log_var.dtype).max)
        text = f"log_var from {low:.1f} to {high:.1f}, |mu| up to {self.mu.abs().max().item():.1f}, in {self.mu.dtype}"
        page = "chapter 05, NaN"
        if bad:
            raise ValueError(f"encode returned {bad} values that are NaN or infinite; expected finite numbers")
        if high > limit / 2:
            self.add("overflow", "look", text, f"log_var below {limit:.0f}, where exp(log_var) overflows", page)
        elif self.mu.dtype in (torch.float16, torch.bfloat16):
            self.add("overflow", "look", text, "compute the KL and the log likelihood in float32", page)
        else:
            self.add("overflow", "ok", text, "", page)
        mu, log_var = self.mu.flatten(1).double(), self.log_var.flatten(1).double()
        kl = kl_to_standard_normal_per_dim(mu, log_var).mean(0)
        active = (mu.var(0, correction=0) > ACTIVE).sum().item()
        self.numbers |= {"kl": kl.sum().item(), "active": active, "latents": self.d}
        largest = ", ".join(f"{value:.2f}" for value in kl.sort(descending=True).values[:6].tolist())
        largest += " ..." if self.d > 6 else ""
        text = f"{active} of {self.d} latents active; KL {kl.sum():.2f} nats a point, by axis {largest}"
        if active:
            self.add("latents", "ok", text, "", "chapter 08")
        else:
            self.add("latents", "look", text, "a KL above 0: this posterior has collapsed", "chapter 08")
        spread, mean = mu.var(0, correction=0) + log_var.exp().mean(0), mu.mean(0)
        text = f"mean within {mean.abs().max():.2f} of 0, variance {spread.min():.2f} to {spread.max():.2f}"
        far = mean.abs().max() > 1 or spread.min() < 0.25 or spread.max() > 4
        expected = "0 and 1, or samples from the prior land where the decoder was not trained"
        self.add("aggregate posterior", "look" if far else "ok", text, expected, "chapter 11")

    def data(self) -> None:
        x = self.x.flatten(1)
        low, high = x.min().item(), x.max().item()
        text = f"{len(x)} points, {self.D} axes, values from {low:.3g} to {high:.3g}"
        # A subset of points or axes has no larger eigenvalue than all of them in expectation of the scale that is asked for.
        table = x[:MOST_EIGEN].double()
        if self.D <= MOST_EIGEN or len(table) < MOST_EIGEN:
            self.numbers["threshold"] = collapse_threshold(table).item()
            text += f", sqrt(lambda_max) = {self.numbers['threshold']:.3g}"
        self.add("data", "note", text, "", "chapter 08")

    def likelihood(self) -> None:
        """The family of log p(x|z) as a function of x, by gradients; its sigma, and whether it has its constant."""
        rows = slice(0, min(PROBES, len(self.x)))
        x, z = self.x[rows], self.draw_z(self.mu[rows], self.log_var[rows])
        low, high = self.x.min(), self.x.max()
        toward = low + (high - low) * torch.rand(x.shape, generator=self.generator, dtype=x.dtype, device=x.device)
        places = [x + share * (toward - x) for share in (0.0, 0.4, 0.8)]  # all within the range of the data
        values, slopes = zip(*(self.slope(place, z) for place in places), strict=True)
        if slopes[0] is None:
            self.add("likelihood", "unseen", "log_likelihood has no gradient in x, so its family is not known", "", "chapter 05")
            return
        size = slopes[0].abs().mean()
        bends = [(slopes[i + 1] - slopes[i]).flatten(1) for i in (0, 1)]
        step = (0.4 * (toward - x)).flatten(1).double()
        page = "chapter 05"
        grey = ((self.x != 0) & (self.x != 1)).double().mean().item()
        if bends[0].abs().mean() < 1e-4 * size:
            self.kind = "cross-entropy"
            logits, unit = slopes[0].flatten(1), x.flatten(1)
            if low < 0 or high > 1:
                text = f"linear in x, a cross-entropy, on data from {low.item():.3g} to {high.item():.3g}"
                self.add("likelihood", "wrong", text, "data in [0, 1], or a Gaussian likelihood", page)
                return
            off = {
                name: (values[0].double() - function(unit.double(), logits)).abs().mean().item()
                for name, function in (
                    ("Bernoulli", bernoulli_log_likelihood),
                    ("continuous Bernoulli", continuous_bernoulli_log_likelihood),
                )
            }
            name = min(off, key=off.__getitem__)
            self.kind = name
            if off[name] > 1e-3 * values[0].abs().mean() + 1e-3:
                text = f"linear in x, but {off[name]:.3g} nats off a {name}'s value"
                self.add("likelihood", "wrong", text, "minus the cross-entropy, summed over the axes, and nothing else", page)
            elif name == "Bernoulli" and grey > 0.01:
                text = f"Bernoulli, on data of which {100 * grey:.0f} % are neither 0 nor 1"
                expected = "a density for grey values (Gaussian, continuous Bernoulli), if you compare log likelihoods"
                self.add("likelihood", "note", text, expected, page)
            else:
                self.add("likelihood", "ok", name, "", page)
            return
        clear = step.abs() > 0.05 * (high - low).double()
        curvature = [-(bend.double() / step)[clear] for bend in bends]
        if (
            not clear.any()
            or (curvature[0] - curvature[1]).abs().mean() > 0.02 * curvature[0].abs().mean()
            or curvature[0].min() <= 0
        ):
            self.add("likelihood", "note", "neither Gaussian nor Bernoulli in x; its normalisation was not looked at", "", page)
            return
        self.kind = "Gaussian"
        sigmas = curvature[0].rsqrt()
        self.sigma = sigmas.median().item()
        self.numbers["sigma"] = self.sigma
        varies = sigmas.quantile(0.95) / sigmas.quantile(0.05) > 1.05 if len(sigmas) < 10**6 else False
        text = f"Gaussian, sigma = {self.sigma:.3g}" + (f" ({sigmas.min():.3g} to {sigmas.max():.3g})" if varies else "")
        if varies:
            self.add("likelihood", "ok", text, "", "chapter 10")
            return
        # Back to its peak, log p(x|z) must be that of a normal density there.
        peak = values[0].double() + 0.5 * self.sigma**2 * slopes[0].double().flatten(1).square().sum(1)
        constant = -self.D / 2 * math.log(2 * math.pi * self.sigma**2)
        missing = (peak - constant).mean().item()
        scale = abs(constant) + values[0].abs().mean().item()
        if abs(missing) > 1e-3 * scale + 1e-3:
            text += f", and {missing:+.4g} nats a point above a density's value"
            expected = (
                f"- D/2 log(2 pi sigma^2) = {constant:.4g} is part of log p(x|z); without it no value at another sigma compares"
            )
            self.add("likelihood", "wrong", text, expected, page)
        else:
            self.add("likelihood", "ok", text + ", with its constant", "", page)

    def slope(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor | None]:
        with torch.enable_grad():
            x = x.detach().clone().requires_grad_()
            value = self.log_likelihood(x, z.detach())
            if not value.requires_grad:
                return value, None
            [slope] = torch.autograd.grad(value.sum(), x, allow_unused=True)
        return value.detach(), slope

    def loss(self, loss: Callable) -> None:
        """Weights of both terms by the gradients of the loss, and the formula of its KL."""
        weights = {}
        for size in {self.batch_size, max(1, self.batch_size // 2)}:
            weights[size] = self.weights(loss, size)
        a, residual, kl_b, kl_fault = weights[self.batch_size]
        page = "chapter 05, which sigma did you assume"
        if residual > CLOSE:
            text = f"its gradient in z is {100 * residual:.0f} % off that of any multiple of log_likelihood"
            expected = "a multiple of minus log_likelihood: are prediction and target swapped, or is z another one?"
            self.add("reconstruction", "wrong", text, expected, page)
        elif a <= 0:
            self.add("reconstruction", "wrong", f"weight {a:.3g}: training lowers log p(x|z)", "the loss is MINUS the ELBO", page)
        else:
            self.add("reconstruction", "ok", f"{a:.3g} times minus log p(x|z), summed over the batch", "", page)
        if kl_fault:
            self.add("KL", "wrong", *kl_fault, "chapter 03")
            return
        self.add("KL", "ok", "the KL of q from N(0, I), by value and gradient", "", "chapter 03")
        if residual > CLOSE or a <= 0:
            return
        beta = kl_b / a
        self.numbers["beta"] = beta
        implied = ""
        if self.kind == "Gaussian":
            self.numbers["implied_sigma"] = sigma = self.sigma * math.sqrt(max(beta, 0))
            implied = f": that of a Gaussian decoder with sigma = {sigma:.3g}"
        of_half = {size: b / a for size, (a, _, b, _) in weights.items()}
        text = f"beta = {beta:.4g}{implied}"
        if beta <= 0:
            self.add("weight of the KL", "wrong", text, "the KL is ADDED to the loss", page)
        elif max(of_half.values()) > 1.2 * min(of_half.values()):
            text += "; with half the batch " + ", ".join(f"{b:.4g}" for size, b in of_half.items() if size != self.batch_size)
            expected = f"this weight depends on B, for one term is a mean over the batch and the other a sum; write {self.elbo()}"
            self.add("weight of the KL", "wrong", text, expected, page)
        elif abs(beta - 1) < CLOSE:
            self.add("weight of the KL", "ok", text + ", so the loss is minus the ELBO", "", page)
        elif reason := _reduction(beta, self.D, self.d) or _reduction(beta * self.sigma**2, self.D, 1):
            self.add("weight of the KL", "wrong", text, f"{reason}; write {self.elbo()}", page)
        elif abs(beta - 2) < CLOSE or abs(beta - 0.5) < CLOSE:
            expected = (
                "1; a factor 1/2 " + ("is missing before" if beta > 1 else "too many stands before") + " the KL, or it is meant"
            )
            self.add("weight of the KL", "look", text, expected, page)
        else:
            self.add(
                "weight of the KL", "note", text, "1 for the ELBO of log_likelihood; another beta is another sigma", "chapter 07"
            )
        if "implied_sigma" in self.numbers and "threshold" in self.numbers:
            sigma, threshold = self.numbers["implied_sigma"], self.numbers["threshold"]
            text = f"sigma = {sigma:.3g} against sqrt(lambda_max) = {threshold:.3g} of the data"
            if sigma > threshold:
                self.add("collapse", "look", text, "a smaller sigma: above it the collapsed state is stable", "chapter 08")
            else:
                self.add("collapse", "ok", text + ": the collapsed state is not stable", "", "chapter 08")

    def elbo(self) -> str:
        """The loss to write."""
        terms = {
            "Gaussian": "((x - mean)**2 / (2 * sigma**2) + log(sigma)).flatten(1).sum(1)",
            "Bernoulli": "F.binary_cross_entropy_with_logits(logits, x, reduction='none').flatten(1).sum(1)",
        }
        return f"loss = ({terms.get(self.kind, '-log_likelihood(x, z)')} + kl.flatten(1).sum(1)).mean()"

    def weights(self, loss: Callable, size: int) -> tuple[float, float, float, tuple[str, str] | None]:
        """Weight of minus the summed log likelihood, its residual, weight of the summed KL, and what is wrong with that KL."""
        rows = torch.arange(size, device=self.x.device)
        x, mu, log_var = self.x[rows], self.mu[rows], self.log_var[rows]
        z = self.draw_z(mu, log_var)
        with torch.enable_grad():
            leaf = z.clone().requires_grad_()
            [wanted] = torch.autograd.grad(-self.log_likelihood(x, leaf).sum(), leaf)
            leaf = z.clone().requires_grad_()
            written = _gradients(self.value_of(loss, x, leaf, mu, log_var), [leaf])[0]
        a = ((written * wanted).sum() / wanted.square().sum()).item()
        residual = ((written - a * wanted).norm() / written.norm().clamp(min=1e-30)).item()
        # The KL is a function of mu and log_var alone, so it is looked at where it says most, not where the encoder puts it.
        mu, log_var = self.normal(mu), 1.5 * self.normal(log_var)
        with torch.enable_grad():
            leaves = [mu.clone().requires_grad_(), log_var.clone().requires_grad_()]
            found = _gradients(self.value_of(loss, x, z, *leaves), leaves)
        value = self.value_of(loss, x, z, mu, log_var) - self.value_of(loss, x, z, 0 * mu, 0 * log_var)
        b = _multiple(found, FORMULAS["right"](mu, log_var))
        if b is not None:
            truth = kl_to_standard_normal(mu.flatten(1).double(), log_var.flatten(1).double()).sum().item()
            if abs(value.item() / truth - b) > 0.05 * abs(b):
                return (
                    a,
                    residual,
                    b,
                    (f"gradient {b:.3g} times the KL's, value {value.item() / truth:.3g} times", "one formula for both"),
                )
            return a, residual, b, self.clamp(loss, x, z, mu, log_var)
        if all(part.abs().max() == 0 for part in found):
            return (
                a,
                residual,
                math.nan,
                ("the loss does not depend on mu and log_var", "0.5 * (mu^2 + exp(log_var) - 1 - log_var)"),
            )
        for name, formula in FORMULAS.items():
            if name != "right" and _multiple(found, formula(mu, log_var)) is not None:
                return a, residual, math.nan, (name, "0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)")
        parts = [_multiple([f], [w]) for f, w in zip(found, FORMULAS["right"](mu, log_var), strict=True)]
        if None not in parts:
            text = f"weight {parts[0]:.3g} in mu and {parts[1]:.3g} in log_var"
        else:
            which = "log_var" if parts[0] is not None else "mu" if parts[1] is not None else "mu and in log_var"
            text = f"not the KL of q from N(0, I): its gradient is another one in {which}"
        fault = self.clamp(loss, x, z, mu, log_var)
        return a, residual, math.nan, fault or (text, "0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)")

    def clamp(self, loss: Callable, x: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[str, str] | None:
        """Where the loss stops to depend on log_var, which an optimiser cannot leave again."""
        flat = []
        for level in range(-20, 21):
            with torch.enable_grad():
                leaf = torch.full_like(log_var, float(level)).requires_grad_()
                [found] = _gradients(self.value_of(loss, x, z, 0 * mu, leaf), [leaf])
            if level and not found.abs().max() > 0:
                flat.append(level)
        if not flat:
            return None
        where = [f"below {max(v for v in flat if v < 0) + 1}"] if min(flat) < 0 else []
        where += [f"above {min(v for v in flat if v > 0) - 1}"] if max(flat) > 0 else []
        return (
            f"no gradient in log_var {' and '.join(where)}: a clamp",
            "no clamp, or one that no posterior needs: see its cost in nats",
        )

    def value_of(self, loss: Callable, x: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
        value = loss(x, z, mu, log_var)
        if not isinstance(value, Tensor) or value.numel() != 1:
            found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"loss returned {found}; expected one number")
        return value.reshape(())

    def draw(self, sample: Sampler) -> None:
        """Mean, spread, gradient and independence of the reader's draw of z."""
        shape = (max(2, DRAWS_OF_Z // self.d), *self.mu.shape[1:])
        mu, log_var = 3 + self.normal(self.mu[0]), 1.5 + 0.2 * self.normal(self.mu[0])
        page, want = "chapter 04", "mu + exp(0.5 * log_var) * eps, one eps for each point and axis"
        with torch.enable_grad():
            leaves = [part.expand(shape).clone().requires_grad_() for part in (mu, log_var)]
            z = sample(*leaves)
            if not isinstance(z, Tensor) or z.shape != shape:
                found = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
                raise ValueError(f"sample returned {found} for mu {shape}; expected the same shape")
            passes = z.requires_grad and all(g.abs().sum() > 0 for g in _gradients(z.sum(), leaves[:1]))
        z = z.detach().double()
        noise = (z - mu.double()).flatten(1)
        n = len(noise)
        if not passes:
            found = "no gradient reaches mu: z is detached, or drawn by sample() instead of rsample()"
            self.add("draw of z", "wrong", found, want, page)
        elif noise.std(0).max() <= 1e-6 * noise.abs().max():
            self.add(
                "draw of z", "wrong", "one eps for the whole batch" if noise.abs().max() > 0 else "z is mu: no noise", want, page
            )
        elif (noise.mean(0).abs() > 5 * noise.std(0) / n**0.5).any():
            self.add("draw of z", "wrong", f"mean {noise.mean():+.3g} off mu", want, page)
        else:
            # log std = power * log_var: 1/2 if log_var is what its name says.
            log_std = noise.std(0).log()
            power = ((log_std * log_var.double().flatten()).sum() / log_var.double().square().sum()).item()
            error = 5 / math.sqrt(2 * n * self.d) / log_var.double().square().mean().sqrt().item()
            if abs(power - 0.5) < error:
                self.add("draw of z", "ok", "mean mu, standard deviation exp(log_var / 2), with a gradient", "", page)
            elif abs(power - 1) < error:
                self.add("draw of z", "wrong", "exp(log_var) is used as the standard deviation", want, page)
            else:
                self.add("draw of z", "wrong", f"standard deviation exp({power:.2f} log_var)", want, page)

    @torch.no_grad()
    def evidence(self, bound: Callable | None) -> None:
        """ELBO and importance-weighted bound with their standard errors, and the reader's own bound beside them."""
        elbos, bounds, halves, theirs = [], [], [], []
        batches = list(zip(*(part.split(self.batch_size) for part in (self.x, self.mu, self.log_var)), strict=True))
        for x, mu, log_var in tqdm(batches, desc="check-up", leave=False, delay=2, file=sys.stdout):
            chunk = max(1, min(self.draws, 20_000 // len(x)))
            weights = []
            for start in range(0, self.draws, chunk):
                k = min(chunk, self.draws - start)
                each = [part.repeat_interleave(k, 0) for part in (x, mu, log_var)]
                eps = self.normal(each[1])
                z = reparameterize(each[1], each[2], eps)
                log_q = gaussian_log_density(z.flatten(1), each[1].flatten(1), each[2].flatten(1))
                log_prior = gaussian_log_density(z.flatten(1), torch.zeros_like(z).flatten(1), torch.zeros_like(z).flatten(1))
                weights.append((self.log_likelihood(each[0], z).double() + log_prior.double() - log_q.double()).view(len(x), k))
            log_w = torch.cat(weights, 1)
            elbos.append(log_w.mean(1))
            bounds.append(log_w.logsumexp(1) - math.log(self.draws))
            half = max(1, self.draws // 2)
            halves.append(log_w[:, :half].logsumexp(1) - math.log(half))
            if bound:
                value = bound(x, self.draws)
                if not isinstance(value, Tensor) or value.shape != x.shape[:1]:
                    found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
                    raise ValueError(f"bound returned {found} for {len(x)} points; expected ({len(x)},)")
                theirs.append(value.double())
        elbo, best, half = (torch.cat(part) for part in (elbos, bounds, halves))
        if has_values(best) and not best.isfinite().all():
            self.add(
                "bound",
                "wrong",
                f"{(~best.isfinite()).sum().item()} points have no finite log p(x)",
                "finite numbers",
                "chapter 05, NaN",
            )
            return
        error = lambda values: values.std().item() / len(values) ** 0.5  # noqa: E731
        bits = -best.mean().item() / (self.D * math.log(2))
        self.numbers |= {"elbo": elbo.mean().item(), "bound": best.mean().item(), "bound_error": error(best), "bits": bits}
        text = f"ELBO {elbo.mean():.2f}, L_{self.draws} {best.mean():.2f} nats a point (standard error {error(best):.2g} over "
        text += f"{len(best)} points), {bits:.3f} bits a dimension"
        climbing = (best - half).mean().item()
        expected = (
            f"more draws: from K = {max(1, self.draws // 2)} it still rose by {climbing:.2g} nats" if climbing > 0.05 else ""
        )
        self.add("bound", "note" if expected else "ok", text, expected, "chapter 02")
        if not bound:
            return
        mine = torch.cat(theirs)
        to_bound, to_elbo = (mine - best), (mine - elbo)
        near = lambda gap, scale: abs(gap.mean().item()) <= 4 * error(gap) + 0.02 * scale  # noqa: E731
        gap = (best - elbo).mean().item()
        text = f"{mine.mean():.2f} nats a point with K = {self.draws}"
        if near(to_bound, gap) and not near(to_elbo, gap):
            self.add("your bound", "ok", text, "", "chapter 02")
        elif near(to_elbo, gap) and gap > 0.05:
            self.add(
                "your bound",
                "wrong",
                text + ": a mean of logs, the ELBO",
                "the log of the mean: logsumexp(log_w, K) - log K",
                "chapter 02",
            )
        elif near(to_bound, gap):
            self.add("your bound", "ok", text, "", "chapter 02")
        else:
            self.add("your bound", "wrong", text, f"{best.mean():.2f}", "chapter 02")


# Gradients in (mu, log_var) of the KL as people write it, up to a factor.
FORMULAS: dict[str, Callable[[Tensor, Tensor], list[Tensor]]] = {
    "right": lambda mu, log_var: [mu, 0.5 * torch.expm1(log_var)],
    "exp(log_var) is used as the standard deviation": lambda mu, log_var: [mu, torch.expm1(2 * log_var)],
    "the standard deviation stands where the variance belongs": lambda mu, log_var: [mu, 0.25 * torch.expm1(0.5 * log_var)],
    "mu and log_var are swapped": lambda mu, log_var: [0.5 * torch.expm1(mu), log_var],
    "KL(p || q), with the arguments swapped": lambda mu, log_var: [
        mu * torch.exp(-log_var),
        0.5 * (1 - (1 + mu.square()) * torch.exp(-log_var)),
    ],
    "mu is not squared": lambda mu, log_var: [0.5 * torch.ones_like(mu), 0.5 * torch.expm1(log_var)],
}


def _folded(head: str, text: str) -> str:
    """A text on lines of `WIDTH`, behind its head."""
    return textwrap.fill(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False)


def _gradients(value: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    """Gradients, zero where the value does not depend on a leaf."""
    if not value.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    return list(torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True))


def _multiple(found: list[Tensor], wanted: list[Tensor]) -> float | None:
    """The number that all gradients are the multiple of, or None if they are no multiple."""
    f, w = (torch.cat([part.flatten().double() for part in parts]) for parts in (found, wanted))
    factor = (f @ w / (w @ w)).item()
    return factor if (f - factor * w).norm() <= CLOSE * f.norm() and f.norm() > 0 else None


def _reduction(factor: float, D: int, d: int) -> str:
    """The reductions that give the KL this weight, in words, if there are any."""
    data = {0: "", 1: f"a mean over the D = {D} axes of the data", -1: f"a KL that is divided by the D = {D} axes of the data"}
    latents = {0: "", -1: f"a mean over the d = {d} latents"}
    half = {0: "", 1: "no factor 1/2 before the KL", -1: "no factor 1/2 before the error, or one too many before the KL"}
    for i, j, k in itertools.product(data, latents, half):
        named = (i and D > 1) or (j and d > 1)
        if named and abs(factor / (D**i * d**j * 2.0**k) - 1) < CLOSE:
            return "this is " + ", with ".join(words for words in (data[i], latents[j], half[k]) if words)
    return ""
