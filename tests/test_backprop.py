import pytest
import torch

from vaelib.backprop import ElboGradient
from vaelib.nets import VAE
from vaelib.objective import elbo_terms
from vaelib.train import one_vector

MODELS = [
    {},
    {"hidden": (8, 6, 5), "latent_dim": 3},
    {"hidden": ()},
    {"hidden": (1,), "data_dim": 5, "latent_dim": 4},
    {"learn_sigma": True},
    {"sigma": [[0.3, 0.4, 1.0]] * 2, "learn_sigma": True, "data_dim": 3},
    {"sigma": [[0.3, 2.0]] * 2},
]


@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize("own_data", [False, True])
@pytest.mark.parametrize("one_run_a_block", [False, True])
@pytest.mark.parametrize("options", MODELS, ids=str)
def test_gradient_and_value_are_those_of_autograd(options, one_run_a_block, own_data, samples, monkeypatch):
    if one_run_a_block:
        monkeypatch.setattr("vaelib.backprop.BLOCK", 1)
    vae = VAE(seeds=range(2), **{"sigma": 0.4, **options})
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(*(2,) * own_data, 17, vae.data_dim, generator=generator)
    _, grad = one_vector(list(vae.parameters()))
    by_hand = ElboGradient(vae, 17, samples)
    for _ in range(2):  # the second call overwrites the memory of the first
        eps = torch.randn(17, samples, vae.latent_dim, generator=generator)
        value, found = by_hand(x, eps, True), grad.clone()
        grad.zero_()
        elbo = elbo_terms(vae, x, eps).elbo.mean(-1)
        (-elbo.sum()).backward()
        torch.testing.assert_close(value, elbo, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found, grad, rtol=1e-12, atol=1e-12)
        assert by_hand(x, eps, False) is None


@pytest.mark.parametrize("options", MODELS[:4], ids=str)
def test_the_passes_of_a_network_are_those_of_autograd(options):
    net = VAE(seeds=range(2), **{"sigma": 0.4, **options}).decoder.net
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(2, 7, net.layers[0].weight.shape[-1], generator=generator, requires_grad=True)
    found = []
    for net.by_hand in (False, True):
        # The network twice in one graph: the second pass must not overwrite what the first one keeps.
        value = (net(z).square().sum(-1) * net(2 * z).sum(-1)).sum()
        found.append([value, *torch.autograd.grad(value, [z, *net.parameters()])])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_a_second_derivative_of_the_passes_is_refused():
    net = VAE(sigma=1.0).decoder.net
    net.by_hand = True
    z = torch.ones(1, 1, 1, requires_grad=True)
    [slope] = torch.autograd.grad(net(z).square().sum(), z, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()
