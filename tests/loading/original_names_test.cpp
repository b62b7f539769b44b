#include <nlohmann/json.hpp>

#include "ldm/core/text.h"
#include "ldm/io/hash.h"
#include "ldm/io/json.h"
#include "ldm/io/key_map.h"
#include "ldm/io/original_layout.h"
#include "ldm/loading/component_factory.h"
#include "ldm/loading/export_model.h"
#include "ldm/loading/single_file.h"
#include "tests/io/memory_tensors.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm {
namespace {

/// Names and shapes without contents, which nothing here reads.
class ShapesOnly final : public TensorSource {
 public:
  void add(const std::string& name, std::vector<std::int64_t> shape) {
    std::uint64_t bytes = 2;
    for (const std::int64_t dim : shape) bytes *= static_cast<std::uint64_t>(dim);
    infos_[name] = {name, DType::F16, std::move(shape), 0, bytes};
  }
  const TensorInfo* find(std::string_view name) const override {
    const auto found = infos_.find(name);
    return found == infos_.end() ? nullptr : &found->second;
  }
  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    for (const auto& [name, info] : infos_) names.push_back(name);
    return names;
  }
  void read_part(std::string_view name, std::uint64_t, std::span<std::byte>) const override {
    throw Error::internal(cat("reading ", name));
  }
  std::filesystem::path file_of(std::string_view) const override { return {}; }
  std::vector<SourceFile> files() const override { return {}; }
  const std::map<std::string, std::string>& metadata() const override { return metadata_; }
  void check_unchanged() const override {}

 private:
  std::map<std::string, TensorInfo, std::less<>> infos_;
  std::map<std::string, std::string> metadata_;
};

void add_parameters(ShapesOnly& source, const torch::nn::Module& module) {
  for (const auto& item : module.named_parameters()) {
    source.add(item.key(), item.value().sizes().vec());
  }
}

/// A family's component with the names and shapes of its module and no weights.
ComponentFiles component_of(const nlohmann::json& family, const std::string& name,
                            const std::string& folder) {
  auto source = std::make_shared<ShapesOnly>();
  ComponentFiles files{name, {}, family.at(folder), folder, source};
  files.class_name = files.config.contains("_class_name")
                         ? files.config["_class_name"].get<std::string>()
                         : files.config["architectures"][0].get<std::string>();
  if (name == "unet") add_parameters(*source, *make_denoiser(files));
  if (name == "vae") add_parameters(*source, *make_autoencoder(files));
  if (name == "text_encoder") add_parameters(*source, *make_text_encoder(files));
  if (files.class_name == "LDMBertModel") {
    const std::int64_t tokens = files.config["vocab_size"].get<std::int64_t>();
    source->add("to_logits.weight", {tokens, files.config["d_model"].get<std::int64_t>()});
    source->add("to_logits.bias", {tokens});
  }
  return files;
}

ModelFiles model_of(const std::string& family_name) {
  const nlohmann::json family = family_defaults(family_name);
  ModelFiles model;
  model.model_index = family.at("model_index");
  model.scheduler_config = family.at("scheduler");
  for (const char* folder : {"text_encoder", "bert"}) {
    if (family.contains(folder)) {
      model.components.push_back(component_of(family, "text_encoder", folder));
    }
  }
  model.components.push_back(component_of(family, "unet", "unet"));
  model.components.push_back(component_of(family, "vae", family.contains("vae") ? "vae" : "vqvae"));
  return model;
}

/// "NAME ORIGINAL FIRST_ROW SHAPE" of every tensor, sorted, as the public side wrote them.
std::vector<std::string> lines_of(const RenamedTensors& view, const TensorSource& original) {
  std::vector<std::string> lines;
  for (const std::string& name : view.names()) {
    const TensorPiece& piece = view.pieces(name).front();
    const TensorInfo& from = *original.find(piece.source);
    const std::uint64_t rows =
        from.shape.empty() ? 1 : static_cast<std::uint64_t>(from.shape.front());
    std::vector<std::string> dims;
    for (const std::int64_t dim : view.find(name)->shape) dims.push_back(std::to_string(dim));
    lines.push_back(cat(name, " ", piece.source, " ", piece.offset / (from.byte_size() / rows), " ",
                        join(dims, ",")));
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

}  // namespace

TEST_CASE("names of whole published models are those of the public converters", "[golden]") {
  const auto golden = read_json_file(test::test_file("golden/loading/original_names.json"));
  for (const std::string family : {"sd15", "sd21", "sd-x4-upscaler", "txt2img-large"}) {
    const ModelFiles model = model_of(family);
    std::vector<std::string> dropped;
    // Everything in the original's names, and from there back as a reader of such a file does.
    const std::shared_ptr<const TensorSource> original = original_view(model, dropped);
    CHECK(dropped.empty());
    SingleFileOptions options;
    options.prediction_type = "epsilon";
    options.needs_tokenizer = false;
    const ModelFiles read = open_checkpoint(family, original, options);
    for (const ComponentFiles& component : read.components) {
      INFO(family << "/" << component.name);
      const auto& expected = golden.at(family + "/" + component.name);
      const auto lines =
          lines_of(static_cast<const RenamedTensors&>(*component.weights), *original);
      for (const auto& line : expected["some"]) {
        INFO(line.get<std::string>());
        CHECK(std::binary_search(lines.begin(), lines.end(), line.get<std::string>()));
      }
      CHECK(lines.size() == expected["count"].get<std::size_t>());
      std::string text;
      for (const std::string& line : lines) text += line + "\n";
      CHECK(sha256_hex(text) == expected["sha256"].get<std::string>());
      // And the config is the one that the tensors were made with.
      for (const ComponentFiles& had : model.components) {
        if (had.name != component.name) continue;
        for (const char* key :
             {"block_out_channels", "attention_head_dim", "cross_attention_dim", "down_block_types",
              "up_block_types", "only_cross_attention", "num_class_embeds", "use_linear_projection",
              "latent_channels", "num_hidden_layers", "hidden_act", "num_attention_heads",
              "encoder_layers", "head_dim", "layers_per_block"}) {
          INFO(key);
          if (had.config.contains(key))
            CHECK(component.config.value(key, nlohmann::json()) == had.config[key]);
        }
      }
    }
  }
}

}  // namespace ldm
