#include <array>
#include <filesystem>
#include <span>

#include "ldm/app/commands.h"
#include "ldm/app/inputs.h"
#include "ldm/app/option_values.h"
#include "ldm/app/output_paths.h"
#include "ldm/app/resolve.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/core/version.h"
#include "ldm/io/png.h"
#include "ldm/io/safetensors.h"
#include "ldm/loading/model_files.h"
#include "ldm/loading/single_file.h"
#include "ldm/pipeline/picture_coder.h"

namespace ldm::app {
namespace {

namespace fs = std::filesystem;

PictureCoder open_coder(const Options& options) {
  const fs::path path = options.vae ? fs::path(*options.vae) : resolve_model(options);
  return PictureCoder(open_vae_file(path), make_execution_request(options));
}

IfExists if_exists(const Options& options) {
  return options.overwrite.value_or(false) ? IfExists::kReplace : IfExists::kKeepIdentical;
}

void need_argument(const std::string& argument, const char* what, const char* usage) {
  if (argument.empty()) throw Error::usage(cat("no ", what, " is named"), usage);
}

}  // namespace

void encode_picture(const std::string& image, const Options& options, Console& console) {
  need_argument(image, "picture", "ldm-gen encode IMAGE -o LATENTS.safetensors");
  const fs::path output = options.output.value_or(fs::path(image).stem().string() + ".safetensors");
  std::shared_ptr<const Image> picture;
  std::string sha256;
  read_picture(image, picture, sha256);
  check_output_folders({output});
  PictureCoder coder = open_coder(options);
  const LatentsData latents = coder.encode(*picture, options.seed, vae_tiling_of(options));
  const std::array<TensorData, 1> tensors = {
      TensorData{"latents", DType::F32, latents.shape, std::as_bytes(std::span(latents.values))}};
  write_safetensors(output, tensors, {{"producer", cat("ldm-gen ", version())}},
                    if_exists(options));
  console.result(output.string());
}

void decode_pictures(const std::string& latents, const Options& options, Console& console) {
  need_argument(latents, "file of latents", "ldm-gen decode LATENTS.safetensors -o IMAGE.png");
  const std::shared_ptr<const LatentsData> data = read_latents(latents);
  const std::vector<fs::path> outputs =
      resolve_output_paths({options.output.value_or(fs::path(latents).stem().string() + ".png"), 0,
                            data->shape[0], options.overwrite.value_or(false)});
  check_output_folders(outputs);
  PictureCoder coder = open_coder(options);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const Image image = coder.decode(*data, static_cast<int>(i), vae_tiling_of(options));
    const std::vector<std::byte> png = encode_png(image, {});
    verify_png(png, outputs[i].string());
    write_file_atomic(outputs[i], png, if_exists(options));
    console.result(outputs[i].string());
  }
}

}  // namespace ldm::app
