import pytest
import torch

from vaelib.nets import VAE


def torch_twin(net, r):
    """Run r of an MLP as plain torch layers."""
    layers = []
    for layer in net.layers:
        twin = torch.nn.Linear(layer.weight.shape[1], layer.weight.shape[2])
        twin.weight.data, twin.bias.data = layer.weight.data[r].T, layer.bias.data[r, 0]
        layers += [twin, torch.nn.Tanh()]
    return torch.nn.Sequential(*layers[:-1])


@pytest.mark.parametrize("hidden", [(), (8,), (8, 6)], ids=str)
def test_each_run_is_the_plain_torch_network(hidden):
    vae = VAE(latent_dim=3, data_dim=4, hidden=hidden, sigma=1.0, seeds=[0, 1])
    generator = torch.Generator().manual_seed(0)
    x, z = torch.randn(7, 4, generator=generator), torch.randn(7, 3, generator=generator)
    mu, log_var = vae.encode(x)
    assert mu.shape == log_var.shape == (2, 7, 3) and vae.decode(z).shape == (2, 7, 4)
    for r in range(2):
        torch.testing.assert_close(torch.cat([mu, log_var], -1)[r], torch_twin(vae.encoder.net, r)(x))
        torch.testing.assert_close(vae.decode(z)[r], torch_twin(vae.decoder.net, r)(z))


def test_a_run_depends_on_its_own_seed_and_sigma_alone():
    stack, alone = VAE(sigma=[0.1, 0.2, 0.3], seeds=[5, 6, 7]), VAE(sigma=0.2, seeds=[6])
    for a, b in zip(stack.pick([1]).state_dict().values(), alone.state_dict().values()):
        assert torch.equal(a, b)


def test_initial_weights_are_uniform_as_those_of_torch():
    weight = VAE(hidden=(64, 64), sigma=1.0, seeds=range(4)).decoder.net.layers[1].weight
    bound = 64**-0.5
    assert weight.abs().max() <= bound
    n = weight.numel()
    # The variance of U(-b, b) is b^2/3, and that of its square 4 b^4/45.
    assert abs((weight.square().mean() - bound**2 / 3) / (4 * bound**4 / 45 / n) ** 0.5) < 4


def test_pick_copies():
    vae = VAE(sigma=[0.1, 0.2], seeds=[0, 1])
    picked = vae.pick([1, 0])
    assert picked.sigma.tolist() == [0.2, 0.1]
    picked.decoder.net.layers[0].weight.data.zero_()
    assert (vae.decoder.net.layers[0].weight != 0).any()


def test_a_run_may_have_its_own_data():
    vae = VAE(sigma=1.0, seeds=[0, 1])
    x = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(vae.encode(x)[0][1], vae.encode(x[1])[0][1])


@pytest.mark.parametrize("shape", [(3,), (3, 2)], ids=str)
def test_a_learned_sigma_starts_where_asked_and_stays_positive(shape):
    sigma = torch.rand(shape, generator=torch.Generator().manual_seed(0)) + 0.1
    vae = VAE(sigma=sigma, seeds=range(3), learn_sigma=True)
    torch.testing.assert_close(vae.sigma, sigma)
    torch.testing.assert_close(vae.pick([2, 0]).sigma, sigma[[2, 0]])
    assert any(parameter is vae.log_sigma for parameter in vae.parameters())
    vae.log_sigma.data -= 20
    assert (vae.sigma > 0).all()


def test_a_fixed_sigma_is_no_parameter():
    vae = VAE(sigma=torch.tensor([[0.1, 0.2], [0.3, 0.4]]), seeds=range(2))
    assert vae.sigma.tolist() == [[0.1, 0.2], [0.3, 0.4]] and not vae.sigma.requires_grad
    assert "log_sigma" not in dict(vae.named_parameters())


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="seeds is empty"):
        VAE(sigma=1.0, seeds=[])
    with pytest.raises(ValueError, match="sigma must be positive"):
        VAE(sigma=[0.1, 0.0], seeds=[0, 1])
    with pytest.raises(ValueError, match=r"sigma has shape \(3,\); expected one number, or 2"):
        VAE(sigma=[0.1, 0.2, 0.3], seeds=[0, 1])
