"""Lines on the loss as written: the weights of its two terms by its gradients, and the formula of its KL."""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from vaelib.checkup._report import Line
from vaelib.checkup._yours import Loss, Yours, gradients, shaped
from vaelib.kl import kl_to_standard_normal
from vaelib.thresholds import collapse_threshold

WRITE_ERROR = {
    "Gaussian": "error = ((x - mean)**2 / (2 * sigma**2) + log(sigma)).flatten(1).sum(1)",
    "Bernoulli": """\
error = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
error = error.flatten(1).sum(1)""",
}
WRITE_KL = "kl = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).flatten(1).sum(1)"
LOG_STD = "exp(log_var) is used as the standard deviation"
# Gradients in (mu, log_var) of the KL as people write it, up to a factor.
FORMULAS: dict[str, Callable[[Tensor, Tensor], list[Tensor]]] = {
    "": lambda mu, log_var: [mu, 0.5 * torch.expm1(log_var)],
    LOG_STD: lambda mu, log_var: [mu, torch.expm1(2 * log_var)],
    "the standard deviation stands where the variance belongs": lambda mu, log_var: [mu, 0.25 * torch.expm1(0.5 * log_var)],
    "mu and log_var are swapped": lambda mu, log_var: [0.5 * torch.expm1(mu), log_var],
    "KL(p || q), with the arguments swapped": lambda mu, log_var: [
        mu * torch.exp(-log_var),
        0.5 * (1 - (1 + mu.square()) * torch.exp(-log_var)),
    ],
    "mu is not squared": lambda mu, log_var: [0.5 * torch.ones_like(mu), 0.5 * torch.expm1(log_var)],
}


class Kl(NamedTuple):
    """The KL of a loss: its weight, NaN if it is none; what is wrong with it; what it should be; whether z stands in it."""

    weight: float
    fault: str = ""
    expected: str = ""
    from_draws: bool = False


def loss_lines(yours: Yours, loss: Loss | None) -> Iterator[Line]:
    """Reconstruction, KL, weight of the KL, and whether it makes the latent collapse."""
    if loss is None:
        yield Line("loss", "unseen", "no loss was given, so neither its KL nor its weights were looked at", "chapter 05")
        return
    sizes = (yours.batch_size, max(1, yours.batch_size // 2))
    (weight, residual, kl), (half_weight, _, half_kl) = (_weights(yours, loss, size) for size in sizes)
    page = "chapter 05"
    if residual > yours.close():
        text = f"its gradient in z is {100 * residual:.0f} % off that of any multiple of log_likelihood"
        expected = "a multiple of minus log_likelihood: are prediction and target swapped, or is z another one?"
        yield Line("reconstruction", "wrong", text, page, expected)
    elif weight <= 0:
        text = f"weight {weight:.3g}: training lowers log p(x|z)"
        yield Line("reconstruction", "wrong", text, page, "the loss is MINUS the ELBO")
    else:
        yield Line("reconstruction", "ok", f"{weight:.4g} times minus log p(x|z), summed over the batch", page)
    if kl.fault:
        yield Line("KL", "wrong", kl.fault, "chapter 03", kl.expected, WRITE_KL)
        return
    how = "estimated by log q(z|x) - log p(z)" if kl.from_draws else "by value and gradient"
    yield Line("KL", "ok", f"the KL of q from N(0, I), {how}", "chapter 03")
    if residual > yours.close() or weight <= 0:
        return
    beta = yours.numbers["beta"] = kl.weight / weight
    yield _weight(yours, beta, {sizes[0]: beta, sizes[1]: half_kl.weight / half_weight})
    yield from _collapse(yours, beta)


def _weight(yours: Yours, beta: float, by_size: dict[int, float]) -> Line:
    name, page, text = "weight of the KL", "chapter 05", f"beta = {beta:.4g}"
    if yours.family == "Gaussian" and beta > 0:
        sigma = yours.numbers["implied_sigma"] = yours.numbers["sigma"] * math.sqrt(beta)
        text += f": that of a Gaussian decoder with sigma = {sigma:.3g}"
    if beta <= 0:
        return Line(name, "wrong", text, page, "the KL is ADDED to the loss")
    error = WRITE_ERROR.get(yours.family, "error = -log_likelihood(x, z)")
    write = f"{error}\n{WRITE_KL}\nloss = (error + kl).mean()"
    if max(by_size.values()) > 1.2 * min(by_size.values()):
        small = min(by_size)
        text += f"; with half the batch {by_size[small]:.4g}"
        expected = "no weight that depends on B: one term is a mean over the batch, the other a sum"
        return Line(name, "wrong", text, page, expected, write)
    if abs(beta - 1) < yours.close():
        return Line(name, "ok", f"{text}, so the loss is minus the ELBO", page)
    reason, only_half = _reduction(beta, yours.D, yours.d, yours.close())
    if not reason and "implied_sigma" in yours.numbers:  # beside an error that is not divided by any sigma
        reason, only_half = _reduction(yours.numbers["implied_sigma"] ** 2, yours.D, 1, yours.close())
    if reason:
        verdict, meant = ("look", ", or it is meant") if only_half else ("wrong", "")
        return Line(name, verdict, text, page, f"1; this is {reason}{meant}", write)
    return Line(name, "note", text, "chapter 07", "1 for the ELBO of log_likelihood; another beta is another sigma")


def _collapse(yours: Yours, beta: float) -> Iterator[Line]:
    """Whether the state without information is stable under this weight: a statement on data and loss, not on the fit."""
    if "implied_sigma" in yours.numbers:
        sigma, threshold = yours.numbers["implied_sigma"], yours.numbers["threshold"]
        text, stable = f"sigma = {sigma:.3g} against sqrt(lambda_max) = {threshold:.3g} of the data", sigma > threshold
        expected = "a smaller sigma: above that threshold the collapsed state is stable"
    elif yours.family == "Bernoulli":
        x = yours.x.flatten(1).double()
        variance = x.mean(0) * (1 - x.mean(0))
        varies = variance > 0
        threshold = collapse_threshold((x / variance.sqrt())[:, varies]).item() ** 2 if varies.any() else 0.0
        text, stable = f"beta = {beta:.4g} against {threshold:.3g}, the threshold of the data", beta > threshold
        expected = "a smaller weight of the KL: above that threshold the collapsed state is stable"
    else:
        return
    if stable:
        yield Line("collapse", "look", text, "chapter 08", expected)
    else:
        yield Line("collapse", "ok", f"{text}: the collapsed state is not stable", "chapter 08")


def _weights(yours: Yours, loss: Loss, size: int) -> tuple[float, float, Kl]:
    """Weight of minus log p(x|z) summed over the batch, the share of the gradient in z that it leaves, and the KL."""
    x, mu, log_var, z = yours.first(size)

    def at(*leaves: Tensor) -> tuple[float, list[Tensor]]:
        """The loss at (z, mu, log_var) and its gradients."""
        with torch.enable_grad():
            leaves = [leaf.detach().clone().requires_grad_() for leaf in leaves]
            value = loss(x, *leaves)
            if not isinstance(value, Tensor) or value.numel() != 1:
                shaped("loss", value, ())
            return value.item(), gradients(value.sum(), leaves)

    kl = _kl(at, z, yours)
    written = at(z, mu, log_var)[1][0].double()
    if kl.from_draws:
        written = written - kl.weight * (z - (z - mu) * torch.exp(-log_var)).double()
    with torch.enable_grad():
        leaf = z.clone().requires_grad_()
        [wanted] = gradients(-yours.log_likelihood(x, leaf).sum(), [leaf])
    weight = ((written * wanted).sum() / wanted.double().square().sum()).item()
    residual = (written - weight * wanted).norm() / written.norm().clamp(min=1e-30)
    return weight, residual.item(), kl


def _kl(at: Callable, z: Tensor, yours: Yours) -> Kl:
    """The KL is a function of mu and log_var alone, so it is looked at where it says most, not where the encoder puts it."""
    mu, log_var = yours.normal(z), 1.5 * yours.normal(z)
    value, (_, *found) = at(z, mu, log_var)
    if not any(part.any() for part in found):
        return Kl(math.nan, "the loss does not depend on mu and log_var", "the KL of q(z|x) from N(0, I)")
    multiples = {name: _multiple(found, formula(mu, log_var), yours.close()) for name, formula in FORMULAS.items()}
    weight = multiples.pop("")
    if weight is not None:
        rise = value - at(z, 0 * mu, 0 * log_var)[0]
        of_value = rise / kl_to_standard_normal(mu.flatten(1).double(), log_var.flatten(1).double()).sum().item()
        if abs(of_value - weight) > 0.05 * abs(weight):
            fault = f"gradient {weight:.3g} times the KL's, value {of_value:.3g} times"
            return Kl(math.nan, fault, "one formula, with its own gradient")
        return Kl(weight, *_clamp(at, z))
    scaled = (z - mu) * torch.exp(-log_var)
    by_draws = _multiple(found, [scaled, 0.5 * ((z - mu) * scaled - 1)], yours.close())  # gradients of log q(z|x)
    if by_draws is not None:
        return Kl(by_draws, from_draws=True)
    named = next((name for name, multiple in multiples.items() if multiple is not None), "")
    if named == LOG_STD:
        return Kl(math.nan, named, "exp(log_var / 2); or, if the output is a log std throughout, encode returns twice that")
    fault, expected = ("", "") if named else _clamp(at, z)
    fault = named or fault or _parts(found, mu, log_var, yours.close())
    return Kl(math.nan, fault, expected or "the KL of q(z|x) from N(0, I)")


def _parts(found: list[Tensor], mu: Tensor, log_var: Tensor, close: float) -> str:
    parts = [_multiple([f], [w], close) for f, w in zip(found, FORMULAS[""](mu, log_var), strict=True)]
    if None not in parts:
        return f"weight {parts[0]:.3g} in mu and {parts[1]:.3g} in log_var"
    which = " and in ".join(name for name, part in zip(("mu", "log_var"), parts, strict=True) if part is None)
    return f"not the KL of q from N(0, I): its gradient is another one in {which}"


def _clamp(at: Callable, z: Tensor) -> tuple[str, str]:
    """Where the loss stops to depend on log_var, which an optimiser cannot leave again."""
    flat = [v for v in range(-20, 21) if v and not at(z, torch.zeros_like(z), torch.full_like(z, v))[1][2].any()]
    where = [f"below {max(v for v in flat if v < 0) + 1}"] if flat and min(flat) < 0 else []
    where += [f"above {min(v for v in flat if v > 0) - 1}"] if flat and max(flat) > 0 else []
    if not where:
        return "", ""
    found = f"no gradient in log_var {' and '.join(where)}: a clamp"
    return found, "no clamp, or one that no posterior needs: see its cost in nats"


def _multiple(found: list[Tensor], wanted: list[Tensor], close: float) -> float | None:
    """The number that all gradients are the multiple of, or None if they are no multiple."""
    f, w = (torch.cat([part.flatten().double() for part in parts]) for parts in (found, wanted))
    factor = (f @ w / (w @ w)).item()
    return factor if (f - factor * w).norm() <= close * f.norm() and f.norm() > 0 else None


def _reduction(factor: float, D: int, d: int, close: float) -> tuple[str, bool]:
    """The reductions that give the KL this weight, in words, if there are any, and whether only a half is off."""
    data = {0: "", 1: f"a mean over the D = {D} axes of the data", -1: f"a KL that is divided by the D = {D} axes of the data"}
    latents = {0: "", -1: f"a mean over the d = {d} latents"}
    half = {0: "", 1: "no factor 1/2 before the KL", -1: "no factor 1/2 before the error, or one too many before the KL"}
    # What has the fewest causes comes first.
    for i, j, k in sorted(itertools.product(data, latents, half), key=lambda powers: sum(map(abs, powers))):
        if (i, j, k) != (0, 0, 0) and abs(factor / (D**i * d**j * 2.0**k) - 1) < close:
            return ", with ".join(words for words in (data[i], latents[j], half[k]) if words), not (i or j)
    return "", False
