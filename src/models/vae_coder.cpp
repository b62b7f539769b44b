#include "ldm/models/vae_coder.h"

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/models/config_checks.h"

namespace ldm::models {
namespace {

std::vector<bool> with_attention(const std::vector<std::string>& types) {
  std::vector<bool> attention;
  for (const std::string& type : types) attention.push_back(type.starts_with("Attn"));
  return attention;
}

nn::VaeCoderOptions shared_options(const VaeCoderFields& fields) {
  nn::VaeCoderOptions options;
  options.block_out_channels = fields.block_out_channels;
  options.layers_per_block = fields.layers_per_block;
  options.mid_block_add_attention = fields.mid_block_add_attention;
  options.blocks = {fields.norm_num_groups, fields.act_fn, 1e-6};
  return options;
}

}  // namespace

void validate_coder(const VaeCoderFields& fields) {
  const ConfigChecks check{fields.class_name};
  const std::size_t levels = fields.block_out_channels.size();
  check.range("the length of block_out_channels", static_cast<std::int64_t>(levels), 1, kMaxLevels);
  check.length("down_block_types", fields.down_block_types.size(), levels);
  check.length("up_block_types", fields.up_block_types.size(), levels);
  for (const std::string& type : fields.down_block_types) {
    check.one_of("down_block_types", type, {"DownEncoderBlock2D", "AttnDownEncoderBlock2D"});
  }
  for (const std::string& type : fields.up_block_types) {
    check.one_of("up_block_types", type, {"UpDecoderBlock2D", "AttnUpDecoderBlock2D"});
  }
  check.range("in_channels", fields.in_channels, 1, kMaxWidth);
  check.range("out_channels", fields.out_channels, 1, kMaxWidth);
  check.range("latent_channels", fields.latent_channels, 1, kMaxWidth);
  check.range("norm_num_groups", fields.norm_num_groups, 1, kMaxWidth);
  for (const std::int64_t channels : fields.block_out_channels) {
    check.range("block_out_channels", channels, 1, kMaxWidth);
    if (channels % fields.norm_num_groups != 0) {
      check.refuse("block_out_channels", cat(channels, " is no multiple of norm_num_groups (",
                                             fields.norm_num_groups, ")"));
    }
  }
  check.range("layers_per_block", fields.layers_per_block, 1, kMaxLayers);
  check.range("sample_size", fields.sample_size, 1, kMaxSide);
  check.not_zero("scaling_factor", fields.scaling_factor);
}

nn::VaeEncoder make_vae_encoder(const VaeCoderFields& fields, std::int64_t out_channels) {
  nn::VaeCoderOptions options = shared_options(fields);
  options.in_channels = fields.in_channels;
  options.out_channels = out_channels;
  options.attention = with_attention(fields.down_block_types);
  return nn::VaeEncoder(options);
}

nn::VaeDecoder make_vae_decoder(const VaeCoderFields& fields) {
  nn::VaeCoderOptions options = shared_options(fields);
  options.in_channels = fields.latent_channels;
  options.out_channels = fields.out_channels;
  options.attention = with_attention(fields.up_block_types);
  return nn::VaeDecoder(options);
}

void check_autoencoder_input(const std::string& what, const at::Tensor& x, std::int64_t channels,
                             std::int64_t least) {
  if (x.dim() != 4 || x.size(0) < 1 || x.size(1) != channels || x.size(2) < least ||
      x.size(3) < least) {
    throw Error::input(cat(what, " takes [B, ", channels, ", H, W] with sides of at least ", least,
                           ", found ", x.sizes()));
  }
}

}  // namespace ldm::models
