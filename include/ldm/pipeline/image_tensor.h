#pragma once

#include "ldm/io/image.h"
#include "ldm/pipeline/request.h"

namespace at {
class Tensor;
}

namespace ldm {

/// A picture as the autoencoder reads it: [1, 3, H, W] fp32 in [-1, 1] on the CPU.
at::Tensor image_to_tensor(const Image& image);

/// x [1, 3, H, W] in about [-1, 1], any dtype and device → 8-bit RGB [H, W, 3] there: (x / 2 + 0.5)
/// clamped, times 255, rounded half to even, as diffusers' `VaeImageProcessor.postprocess`.
at::Tensor picture_bytes(const at::Tensor& x);

/// 8-bit RGB [H, W, 3], on any device.
Image image_of_bytes(const at::Tensor& rgb);

/// The picture of `picture_bytes`.
Image tensor_to_image(const at::Tensor& x);

/// Images `first` … `first + count` of `latents` [N, C, h, w] as an fp32 CPU tensor; one stored
/// image serves every index.
at::Tensor latents_to_tensor(const LatentsData& latents, int first, int count);

/// [N, C, h, w] → data outside the tensor library.
LatentsData tensor_to_latents(const at::Tensor& latents);

/// A CPU tensor where `other` is; on a GPU without waiting for what it computes.
at::Tensor beside(const at::Tensor& other, const at::Tensor& x);

/// `x` on the host, there when the current stream has come so far; on a CPU itself.
at::Tensor on_its_way_to_host(const at::Tensor& x);

/// Whether all values are finite.
bool all_finite(const at::Tensor& x);

}  // namespace ldm
