#pragma once

#include <map>
#include <string>

#include "ldm/pipeline/pipeline.h"
#include "ldm/pipeline/request.h"

namespace ldm {

struct Components;

namespace models {
struct AutoencoderImpl;
struct DenoiserImpl;
}  // namespace models

/// Estimated peak memory of a plan in bytes: the largest stage's weights and activations, and the
/// libraries.
double estimate_memory(const Components& components, const Plan& plan);

/// Images of the model's own size, with guidance, that are well computed together in `free_bytes`
/// of a GPU's memory; 1 … 16.
int images_that_fit(const Components& components, double free_bytes);

/// Floating-point operations of one UNet call for one row of the batch at a latent size of h x w:
/// every convolution and linear layer at its level's size, and the attention products.
double unet_flops(const models::DenoiserImpl& unet, std::int64_t h, std::int64_t w);

/// The same for decoding one picture.
double decoder_flops(const models::AutoencoderImpl& vae, std::int64_t h, std::int64_t w);

/// Parameters of each component.
std::map<std::string, double> parameter_counts(const Components& components);

/// The work for one image of a plan.
PictureCost picture_cost(const Components& components, const Plan& plan);

/// Estimated seconds that a plan takes here once the weights are in: its operations at the rate
/// that a matrix product reaches on the device now (tried for about a tenth of a second).
double estimate_seconds(const Components& components, const Plan& plan);

}  // namespace ldm
