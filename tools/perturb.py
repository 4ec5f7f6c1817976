"""Run the chapters as another processor might: the command behind ``make perturbed``.

A stored output must not depend on the last bits of a number, which differ between processors: how a vector unit computes
exp, in which order a sum is taken, where a product and a sum are fused. Here every kernel moves each result of such an
operation by at most one unit in the last place, by a hash of the result's own bits and a seed, so that the same computation
still gives the same result. The notebooks are run untouched and compared with what they store.

What is correctly rounded on every IEEE machine (elementwise + - * / and sqrt, one by one) stays, as do exact results.

    python -m tools.perturb                                   every chapter, seed 1
    python -m tools.perturb --seed 2 chapters/02_elbo.ipynb   only this one
"""

import argparse
import functools
import math
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tools.notebooks import ROOT, chapters

CELL_TIMEOUT = 1200  # seconds; a training loop takes several times longer
STARTUP = '__import__("tools.perturb", fromlist=["start"]).start({seed})\n'

# Functions that each library rounds in its own way. Whole and half numbers (exp(0), sigmoid(0), tanh(40)) are the same in all.
ELEMENTWISE = frozenset(
    """
    acos acosh addcdiv addcmul asin asinh atan atan2 atanh celu cos cosh digamma elu elu_backward erf erfc erfinv exp exp2 expm1
    gelu gelu_backward hypot igamma igammac lerp lgamma log log10 log1p log2 logaddexp logaddexp2 logit logit_backward
    log_sigmoid_backward log_sigmoid_forward mish mish_backward mvlgamma polar polygamma pow rsqrt selu sigmoid sigmoid_backward
    silu silu_backward sin sinc sinh softplus softplus_backward special_entr special_erfcx special_i0 special_i0e special_i1
    special_i1e special_log_ndtr special_ndtri special_xlog1py special_zeta tan tanh tanh_backward xlogy linspace logspace arange
    binary_cross_entropy binary_cross_entropy_backward binary_cross_entropy_with_logits mse_loss_backward smooth_l1_loss_backward
    normal normal_functional randn randn_like log_normal exponential cauchy geometric _standard_gamma _sample_dirichlet
    _softmax _softmax_backward_data _log_softmax _log_softmax_backward_data
""".split()
)
# Sums, in an order that differs; exact in every order if what is summed has few digits.
REDUCING = frozenset(
    """
    sum nansum mean prod cumsum cumprod var std var_mean std_mean norm linalg_vector_norm linalg_cross trace
    dot vdot mv mm bmm addmm addmv addr addbmm baddbmm _addmm_activation index_add scatter_add
""".split()
)
OTHER = frozenset(
    """
    _fused_adam _fused_adamw _fused_sgd logsumexp logcumsumexp _cdist_forward _cdist_backward _pdist_forward mse_loss
    smooth_l1_loss convolution convolution_backward native_layer_norm native_layer_norm_backward native_batch_norm
    _linalg_det _linalg_eigh _linalg_slogdet _linalg_solve_ex _linalg_svd cholesky_inverse cholesky_solve geqrf linalg_cholesky_ex
    linalg_eig linalg_eigvals linalg_householder_product linalg_inv_ex linalg_ldl_factor_ex linalg_ldl_solve linalg_lstsq
    linalg_lu linalg_lu_factor_ex linalg_lu_solve linalg_matrix_exp linalg_pinv linalg_qr linalg_solve_triangular triangular_solve
    _fft_c2c _fft_c2r _fft_r2c
""".split()
)
PLAIN_SUMS = {"sum", "nansum", "mean"}
CORRECTLY_ROUNDED_POWERS = {0, 0.5, 1, 2, -1}  # computed as a product, a root or a quotient
READ_ONLY = {"grads", "state_steps"}  # declared as written to by the fused optimisers, and left as they are
BITS = {torch.float32: torch.int32, torch.float64: torch.int64}
EXACT_PLACES = {torch.float32: (0, 24), torch.float64: (10, 53)}  # binary places after the point, and in all


class LastPlaceNoise(TorchDispatchMode):
    """Moves every rounding-sensitive result by -1, 0 or 1 unit in the last place, by its own bits and the seed."""

    def __init__(self, seed: int):
        super().__init__()
        self.factors = {kind: _factor(kind, seed) for kind in BITS}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = _name(func)
        sensitive = _is_sensitive(name, args, kwargs)  # asked first: an operation in place overwrites what it reads
        result = func(*args, **kwargs)
        if sensitive:
            for tensor in _written(func, args, kwargs, result):
                if name not in PLAIN_SUMS or 2 * tensor.numel() < args[0].numel():  # a sum of two has one order
                    self._move(tensor, exact_too=name not in ELEMENTWISE)
        return result

    def _move(self, tensor: torch.Tensor, exact_too: bool) -> None:
        if tensor.is_complex():
            tensor = torch.view_as_real(tensor)
        if tensor.dtype not in BITS or tensor.device.type == "meta":
            return
        bits = tensor.view(BITS[tensor.dtype])
        step = _step(bits, self.factors[tensor.dtype])
        if not exact_too:
            twice = 2 * tensor
            step *= twice != twice.round()
        bits += step


def _step(bits: torch.Tensor, factor: int) -> torch.Tensor:
    """-1, 0 or 1 for the bits of each number: a quarter, a half, a quarter; 0 for zero."""
    top = bits + bits  # without the sign
    top *= factor
    top >>= torch.iinfo(bits.dtype).bits - 2
    top += 1
    top >>= 1
    return top


def _factor(kind: torch.dtype, seed: int) -> int:
    """An odd factor of the seed's own that moves neither infinity nor the largest number."""
    source = random.Random(seed)
    fixed = torch.tensor([math.inf, torch.finfo(kind).max], dtype=kind).view(BITS[kind])
    while True:
        factor = source.getrandbits(torch.iinfo(BITS[kind]).bits - 1) | 1
        if not _step(fixed, factor).any():
            return factor


@functools.cache
def _name(func) -> str:
    return func._schema.name.removeprefix("aten::").removeprefix("_foreach_").rstrip("_")


def _is_sensitive(name: str, args, kwargs) -> bool:
    if name in ("add", "sub", "rsub"):  # with a factor, a product and a sum in one
        return not _is_power_of_two(kwargs.get("alpha", 1))
    if name == "uniform":  # scaled to its interval
        return args[1:3] not in [(), (0, 1)]
    if name == "pow":
        exponent = args[1] if len(args) > 1 else kwargs.get("exponent")
        return not (isinstance(exponent, int | float) and exponent in CORRECTLY_ROUNDED_POWERS)
    return name in ELEMENTWISE or name in OTHER or (name in REDUCING and not _is_exact(name, args))


def _is_power_of_two(factor) -> bool:
    return isinstance(factor, int | float) and abs(math.frexp(factor)[0]) in (0, 0.5)


def _is_exact(name: str, args) -> bool:
    """Whether a sum, or a sum of products, has the same result in every order."""
    tensors = [arg for arg in args if isinstance(arg, torch.Tensor)]
    if name in ("var", "std", "var_mean", "std_mean", "norm", "linalg_vector_norm", "prod", "cumprod") or not tensors:
        return False
    if name in ("mm", "bmm") and args[0].shape[-1] == 1:
        return True
    total = 1.0
    for tensor in tensors:
        if tensor.dtype not in EXACT_PLACES:
            return not tensor.is_floating_point()
        places, digits = EXACT_PLACES[tensor.dtype]
        if tensor.device.type == "meta" or not tensor.numel():
            return True
        # One number first: most tensors are found out there.
        if not (tensor[(-1,) * tensor.ndim].item() * 2.0**places).is_integer():
            return False
        scaled = tensor * 2.0**places
        if not torch.equal(scaled, scaled.round()):
            return False
        total *= max(tensor.abs().max().item(), 1.0) * 2.0**places
    return total * max(tensor.numel() for tensor in tensors) < 2.0**digits


def _written(func, args, kwargs, result):
    """The tensors that an operation wrote: what it changed in place or was given as out=, else what it returned."""
    named = zip(func._schema.arguments, args, strict=False)
    named = [*named, *((argument, kwargs[argument.name]) for argument in func._schema.arguments if argument.name in kwargs)]
    changed = [
        value
        for argument, value in named
        if argument.alias_info is not None and argument.alias_info.is_write and argument.name not in READ_ONLY
    ]
    for value in changed or (result if isinstance(result, tuple) else [result]):
        yield from (item for item in (value if isinstance(value, list | tuple) else [value]) if isinstance(item, torch.Tensor))


def start(seed: int) -> None:
    """Perturb everything that this process computes from now on; called in a kernel before its first cell."""
    LastPlaceNoise(seed).__enter__()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.perturb", description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", type=Path, help="notebooks (default: every chapter)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another noise")
    chosen = parser.parse_args()
    paths = [str(path.resolve()) for path in chosen.paths or chapters()]
    with tempfile.TemporaryDirectory() as folder:
        startup = Path(folder) / "profile_default" / "startup"
        startup.mkdir(parents=True)
        (startup / "00-perturb.py").write_text(STARTUP.format(seed=chosen.seed), encoding="utf-8")
        search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        options = ["-q", "-c", "pyproject.toml", f"--nbval-cell-timeout={CELL_TIMEOUT}", "--durations=3"]
        options += ["-n", "auto", "--dist", "loadfile"] if len(paths) > 1 else []
        command = [sys.executable, "-m", "pytest", *options, *paths]
        return subprocess.run(command, cwd=ROOT, env={**os.environ, "IPYTHONDIR": folder, "PYTHONPATH": search}).returncode


if __name__ == "__main__":
    sys.exit(main())
