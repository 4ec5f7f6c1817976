import pytest
import torch
from torch.distributions import Normal

from vaelib.likelihood import gaussian_log_likelihood


@pytest.mark.parametrize("shape", [(1,), (5,), (3, 5)], ids=str)
@pytest.mark.parametrize("sigma", [0.2, 1.0, 3.0])
def test_log_likelihood_is_that_of_torch(shape, sigma):
    generator = torch.Generator().manual_seed(0)
    x, mean = torch.randn(2, *shape, generator=generator)
    value = gaussian_log_likelihood(x, mean, sigma)
    assert value.shape == shape[:-1]
    torch.testing.assert_close(value, Normal(mean, sigma).log_prob(x).sum(-1))


def test_one_sigma_a_run():
    x, mean, sigma = torch.zeros(3, 2), torch.ones(4, 3, 2), torch.tensor([0.1, 0.2, 1.0, 2.0])
    value = gaussian_log_likelihood(x, mean, sigma[:, None])
    assert value.shape == (4, 3)
    for r in range(4):
        torch.testing.assert_close(value[r], gaussian_log_likelihood(x, mean[r], sigma[r].item()))


def test_gradient_reaches_mean_and_sigma():
    x, mean = torch.zeros(3, 2), torch.ones(3, 2, requires_grad=True)
    sigma = torch.tensor(0.7, requires_grad=True)
    assert torch.autograd.gradcheck(lambda m, s: gaussian_log_likelihood(x, m, s), (mean, sigma))


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf")])
def test_a_sigma_that_is_not_positive_is_refused(sigma):
    with pytest.raises(ValueError, match="sigma must be positive and finite"):
        gaussian_log_likelihood(torch.zeros(3, 2), torch.zeros(3, 2), sigma)


def test_unequal_data_axes_are_refused():
    with pytest.raises(ValueError, match=r"x \(3, 1\) and mean \(3, 2\)"):
        gaussian_log_likelihood(torch.zeros(3, 1), torch.zeros(3, 2), 1.0)
