#include "ldm/models/autoencoder_tiny_config.h"

#include "ldm/core/text.h"
#include "ldm/models/config_checks.h"

namespace ldm::models {
namespace {

constexpr ConfigChecks kCheck{"AutoencoderTiny"};

void check_coder(const std::string& widths_field, const std::vector<std::int64_t>& widths,
                 const std::string& blocks_field, const std::vector<std::int64_t>& blocks) {
  kCheck.range("the length of " + blocks_field, static_cast<std::int64_t>(blocks.size()), 1,
               kMaxLevels);
  kCheck.length(widths_field, widths.size(), blocks.size());
  for (const std::int64_t count : blocks) kCheck.range(blocks_field, count, 0, kMaxLayers);
  for (const std::int64_t width : widths) {
    kCheck.range(widths_field, width, 1, kMaxWidth);
    if (width != widths.front()) {
      kCheck.refuse(widths_field, cat("changes from ", widths.front(), " to ", width,
                                      "; all levels of such a model have one width"));
    }
  }
}

}  // namespace

void AutoencoderTinyConfig::validate() const {
  check_coder("encoder_block_out_channels", encoder_block_out_channels, "num_encoder_blocks",
              num_encoder_blocks);
  check_coder("decoder_block_out_channels", decoder_block_out_channels, "num_decoder_blocks",
              num_decoder_blocks);
  kCheck.length("num_decoder_blocks", num_decoder_blocks.size(), num_encoder_blocks.size());
  kCheck.range("in_channels", in_channels, 1, kMaxWidth);
  kCheck.range("out_channels", out_channels, 1, kMaxWidth);
  kCheck.range("latent_channels", latent_channels, 1, kMaxWidth);
  kCheck.range("upsampling_scaling_factor", upsampling_scaling_factor, 2, 2);
  kCheck.one_of("upsample_fn", upsample_fn, {"nearest"});
  kCheck.not_zero("scaling_factor", scaling_factor);
  if (shift_factor != 0.0) {
    kCheck.refuse("shift_factor", cat("is ", shift_factor, "; only 0 is supported"));
  }
}

}  // namespace ldm::models
