#include "ldm/loading/preview_map.h"

#include <string>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/log.h"
#include "ldm/core/text.h"
#include "ldm/io/hash.h"
#include "ldm/io/json.h"
#include "ldm/loading/component_factory.h"
#include "ldm/loading/components.h"
#include "ldm/loading/config_fields.h"

namespace ldm {
namespace fs = std::filesystem;

namespace {

/// The fields of latent_rgb.json.
struct MapFile {
  std::vector<double> weight;
  std::vector<double> bias;
  double error = 0;
  std::string weights_sha256;
  std::string fitted_to;

  template <typename Visitor>
  void visit(Visitor&& v) {
    v("weight", weight);
    v("bias", bias);
    v("error", error);
    v("weights_sha256", weights_sha256);
    v("fitted_to", fitted_to);
  }
};

}  // namespace

std::optional<PreviewMap> read_preview_map(const ComponentFiles& autoencoder,
                                           std::int64_t latent_channels) {
  const std::vector<SourceFile> weights = autoencoder.weights->files();
  if (weights.size() != 1) return std::nullopt;
  const fs::path path = weights.front().path.parent_path() / "latent_rgb.json";
  std::error_code error;
  if (!fs::exists(path, error)) return std::nullopt;
  const auto file = read_config<MapFile>(read_json_file(path), path.string());
  if (file.weights_sha256 != sha256_file(weights.front().path)) {
    log_info("preview-map-unused", cat(path.string(), " was fitted to other weights"));
    return std::nullopt;
  }
  if (file.weight.size() != static_cast<std::size_t>(3 * latent_channels) ||
      file.bias.size() != 3) {
    throw Error::model(
        cat(path.string(), ": expected ", 3 * latent_channels, " weights and 3 biases, found ",
            file.weight.size(), " and ", file.bias.size()),
        "remove it, or make it again with scripts/fit_preview.py");
  }
  PreviewMap map;
  map.weight.assign(file.weight.begin(), file.weight.end());
  map.bias.assign(file.bias.begin(), file.bias.end());
  map.error = file.error;
  return map;
}

void use_preview_autoencoder(Components& c, ComponentFiles autoencoder) {
  autoencoder.name = "preview_vae";
  auto files = std::make_unique<ComponentFiles>(std::move(autoencoder));
  Lazy<models::AutoencoderImpl> vae(make_autoencoder(*files), *files, c.execution, c.loading);
  const std::string problems = vae.binding().problems(vae.name());
  if (!problems.empty()) {
    throw Error::model(cat(files->config_source, ": weights do not fit the config: ", problems));
  }
  const models::AutoencoderShape small = vae.bare().shape();
  const models::AutoencoderShape own = c.vae.bare().shape();
  if (small.latent_channels != own.latent_channels || small.downsampling != own.downsampling) {
    throw Error::model(
        cat(files->config_source, ": latents of ", small.latent_channels, " channels and 1/",
            small.downsampling, " of the size, the model's have ", own.latent_channels, " and 1/",
            own.downsampling),
        "give the small autoencoder of the same family with --preview-vae");
  }
  c.preview_files = std::move(files);
  c.preview_vae = std::move(vae);
}

}  // namespace ldm
