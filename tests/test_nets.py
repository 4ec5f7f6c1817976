import numpy as np
import pytest
import torch

from vaelib.nets import VAE, tanh


def torch_twin(net, r):
    """Run r of an MLP as plain torch layers."""
    layers = []
    for layer in net.layers:
        twin = torch.nn.Linear(layer.weight.shape[2], layer.weight.shape[1])
        twin.weight.data, twin.bias.data = layer.weight.data[r], layer.bias.data[r]
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
    for a, b in zip(stack.pick([1]).state_dict().values(), alone.state_dict().values(), strict=False):
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


def test_parts_of_ones_own_take_the_place_of_the_built_ones():
    decoder = VAE(hidden=(5, 5), sigma=1.0, seeds=[3, 4]).decoder
    vae = VAE(sigma=1.0, seeds=[0, 1], decoder=decoder)
    assert vae.decoder is decoder and vae.encoder.net.layers[0].weight.shape == (2, 32, 2)
    # The other half is the one that the seeds give without the part.
    plain, encoder = VAE(sigma=1.0, seeds=[0, 1]), VAE(hidden=(5,), sigma=1.0, seeds=[3, 4]).encoder
    assert torch.equal(vae.encode(torch.ones(1, 2))[0], plain.encode(torch.ones(1, 2))[0])
    assert torch.equal(VAE(sigma=1.0, seeds=[0, 1], encoder=encoder).decode(torch.ones(1, 1)), plain.decode(torch.ones(1, 1)))


def test_forward_is_the_decoded_mean():
    vae, x = VAE(sigma=1.0, seeds=[0, 1]), torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(vae(x), vae.decode(vae.encode(x)[0]))


@pytest.mark.parametrize("default", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_type_is_the_one_asked_for_and_the_seed_stands_for_the_same_model(default, dtype):
    torch.set_default_dtype(default)  # restored by the fixture of conftest.py
    vae, double = VAE(sigma=0.2, learn_sigma=True, dtype=dtype), VAE(sigma=0.2, learn_sigma=True)
    assert {tensor.dtype for tensor in vae.parameters()} == {dtype} and double.sigma.dtype == torch.float64
    assert abs(double.sigma.item() - 0.2) < 1e-15
    for a, b in zip(vae.parameters(), double.parameters(), strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("learn", [False, True])
def test_another_sigma_for_the_same_networks(learn):
    vae = VAE(sigma=[0.1, 0.2], seeds=[0, 1], dtype=torch.float32)
    other = vae.with_sigma([[1.0, 2.0], [3.0, 4.0]], learn=learn)
    assert vae.sigma.tolist() == pytest.approx([0.1, 0.2]) and other.sigma.requires_grad == learn
    torch.testing.assert_close(other.sigma.detach(), torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float32))
    assert torch.equal(other.decode(torch.ones(1, 1, dtype=torch.float32)), vae.decode(torch.ones(1, 1, dtype=torch.float32)))
    assert other.pick([1]).sigma.shape == (1, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_tanh_is_the_hyperbolic_tangent(dtype):
    a = torch.linspace(-30, 30, 4001, dtype=dtype, requires_grad=True)
    torch.testing.assert_close(tanh(a), torch.tanh(a), rtol=0, atol=4 * torch.finfo(dtype).eps)
    assert torch.autograd.gradgradcheck(tanh, torch.randn(5, dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": []}, "seeds is empty"),
        ({"seeds": 3}, "seeds must be a sequence of whole numbers, found 3"),
        ({"hidden": 32}, "hidden must be a sequence of whole numbers, found 32"),
        ({"hidden": (0,)}, "hidden must be a whole number of at least 1, found 0"),
        ({"data_dim": 2.0}, "data_dim must be a whole number of at least 1, found 2.0"),
        ({"sigma": [0.1, 0.0], "seeds": [0, 1]}, "sigma must be positive"),
        ({"sigma": float("nan")}, "sigma must be positive"),
        ({"sigma": [0.1, 0.2, 0.3], "seeds": [0, 1]}, r"sigma has shape \(3,\); expected one number, or 2"),
    ],
    ids=str,
)
def test_a_bad_model_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        VAE(**{"sigma": 1.0, **options})


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((3, 2)), "x must be a torch.Tensor, found ndarray"),
        ([[0.0, 0.0]], "x must be a torch.Tensor, found list"),
        (torch.zeros(2), r"x has shape \(2,\); expected \(N, 2\) or \(1, N, 2\)"),
        (torch.tensor(1.0), r"x has shape \(\)"),
        (torch.zeros(3, 5), r"x has shape \(3, 5\)"),
        (torch.zeros(4, 3, 2), r"x has shape \(4, 3, 2\)"),
        (torch.zeros(3, 2, dtype=torch.float32), "x is torch.float32 on cpu and the models are torch.float64"),
        (torch.zeros(3, 2, dtype=torch.int64), "x is torch.int64"),
        (torch.zeros(3, 2, device="meta"), "on meta and the models are torch.float64 on cpu"),
    ],
    ids=repr,
)
def test_what_the_networks_cannot_read_is_refused(x, message):
    with pytest.raises(ValueError, match=message):
        VAE(sigma=1.0).encode(x)


def test_models_on_another_device_stay_there():
    vae = VAE(sigma=[[1.0, 2.0]] * 3, seeds=range(3), device="meta")
    x = torch.zeros(5, 2, device="meta")
    assert vae(x).device.type == "meta" and vae(x).shape == (3, 5, 2)
    assert vae.sigma.device.type == "meta" and vae.pick([0]).sigma.shape == (1, 2)
