#include "ldm/models/autoencoder_kl_config.h"

#include <cmath>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm::models {
namespace {

constexpr std::int64_t kMostChannels = 65536;

void check_range(const std::string& name, std::int64_t value, std::int64_t most) {
  if (value < 1 || value > most) {
    throw Error::model(cat("AutoencoderKL: ", name, " is ", value, ", expected 1 to ", most));
  }
}

void check_types(const char* name, const std::vector<std::string>& types, std::size_t levels,
                 const std::string& plain) {
  if (types.size() != levels) {
    throw Error::model(cat("AutoencoderKL: ", name, " has ", types.size(),
                           " entries, block_out_channels has ", levels));
  }
  for (const std::string& type : types) {
    if (type != plain && type != "Attn" + plain) {
      throw Error::model(cat("AutoencoderKL: unknown block type \"", type, "\" in ", name),
                         cat(plain, " and Attn", plain, " are supported"));
    }
  }
}

void check_channels(const AutoencoderKLConfig& config) {
  check_range("in_channels", config.in_channels, kMostChannels);
  check_range("out_channels", config.out_channels, kMostChannels);
  check_range("latent_channels", config.latent_channels, kMostChannels);
  check_range("norm_num_groups", config.norm_num_groups, kMostChannels);
  for (const std::int64_t channels : config.block_out_channels) {
    check_range("block_out_channels", channels, kMostChannels);
    if (channels % config.norm_num_groups != 0) {
      throw Error::model(cat("AutoencoderKL: block_out_channels ", channels,
                             " is not a multiple of norm_num_groups ", config.norm_num_groups));
    }
  }
}

}  // namespace

std::int64_t AutoencoderKLConfig::downsampling() const {
  return std::int64_t{1} << (block_out_channels.size() - 1);
}

void AutoencoderKLConfig::validate() const {
  if (block_out_channels.empty() || block_out_channels.size() > 16) {
    throw Error::model(cat("AutoencoderKL: block_out_channels has ", block_out_channels.size(),
                           " levels, expected 1 to 16"));
  }
  check_channels(*this);
  check_types("down_block_types", down_block_types, block_out_channels.size(),
              "DownEncoderBlock2D");
  check_types("up_block_types", up_block_types, block_out_channels.size(), "UpDecoderBlock2D");
  check_range("layers_per_block", layers_per_block, 100);
  check_range("sample_size", sample_size, std::int64_t{1} << 20);
  if (!std::isfinite(scaling_factor) || scaling_factor == 0.0) {
    throw Error::model(
        cat("AutoencoderKL: scaling_factor is ", scaling_factor, ", expected a number but 0"));
  }
  if (shift_factor && !std::isfinite(*shift_factor)) {
    throw Error::model("AutoencoderKL: shift_factor is not finite");
  }
  if (latents_mean || latents_std) {
    throw Error::model(cat("AutoencoderKL: ", latents_mean ? "latents_mean" : "latents_std",
                           " is set; models with per-channel latent statistics are not supported"));
  }
}

}  // namespace ldm::models
