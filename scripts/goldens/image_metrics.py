"""PSNR and SSIM of scikit-image. Both sides make the pictures by the same formula."""
import torch
from skimage import __version__
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from goldens.common import generator, save


def pictures():
    """Smooth waves, and the same with noise that grows from picture to picture."""
    g = generator(5)
    rows = torch.linspace(0, 6, 20).view(1, 1, 20, 1)
    columns = torch.linspace(0, 9, 27).view(1, 1, 1, 27)
    phases = torch.rand(4, 3, 1, 1, generator=g) * 6
    a = torch.sin(rows + phases) * torch.cos(columns - phases)
    noise = torch.randn(4, 3, 20, 27, generator=g)
    b = a + noise * torch.tensor([0.01, 0.1, 0.5, 2.0]).view(4, 1, 1, 1)
    return a, b


def make():
    a, b = pictures()
    psnr, ssim = [], []
    for x, y in zip(a.double().numpy(), b.double().numpy()):
        psnr.append(peak_signal_noise_ratio(x, y, data_range=2))
        ssim.append(structural_similarity(x, y, data_range=2, channel_axis=0, sigma=1.5,
                                          gaussian_weights=True, use_sample_covariance=False))
    save("image_metrics", {"psnr": torch.tensor(psnr), "ssim": torch.tensor(ssim)},
         scikit_image=__version__)
