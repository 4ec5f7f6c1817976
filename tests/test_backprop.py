import pytest
import torch

from vaelib.backprop import ElboGradient, applies
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


@pytest.mark.parametrize("samples", [1, 3])
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


def test_it_serves_the_books_own_networks_only():
    vae = VAE(sigma=1.0)
    assert applies(vae)
    assert not applies(VAE(sigma=1.0, decoder=torch.nn.Linear(1, 2)))
    assert not applies(VAE(sigma=1.0, encoder=type("Other", (type(vae.encoder),), {})([2, 4], 1, [torch.Generator()])))
