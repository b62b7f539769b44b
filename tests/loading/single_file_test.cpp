#include "ldm/loading/single_file.h"

#include <filesystem>
#include <functional>

#include "ldm/core/log.h"
#include "ldm/io/joined_tensors.h"
#include "ldm/io/safetensors_writer.h"
#include "ldm/io/weights_index.h"
#include "ldm/loading/export_model.h"
#include "tests/io/errors.h"
#include "tests/io/memory_tensors.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm {
namespace fs = std::filesystem;
namespace {

using test::Contains;
using test::error_of;

fs::path tiny(const char* name) { return test::test_file(std::string("golden/runs/") + name); }

/// All bytes of a tensor.
std::vector<std::byte> bytes_of(const TensorSource& source, const std::string& name) {
  std::vector<std::byte> bytes(source.find(name)->byte_size());
  source.read(name, bytes);
  return bytes;
}

/// A tiny model as one file in a folder of its own, with its tokenizer beside.
struct SingleFile {
  explicit SingleFile(const char* name) : path(dir / "model.safetensors") {
    const ModelFiles model = open_model_folder(tiny(name));
    report = export_single_file(model, path, {});
    fs::copy(tiny(name) / "tokenizer", dir / "tokenizer", fs::copy_options::recursive);
  }
  /// Writes another file beside it: these tensors and its own, under other names.
  fs::path write_changed(const std::string& name, const test::MemoryTensors& more,
                         const std::function<std::string(const std::string&)>& rename) const {
    const auto own = open_checkpoint_source();
    auto joined = std::make_shared<JoinedTensors>();
    joined->add("", own);
    joined->add("", more.source);
    RenamedTensors view(joined);
    for (const std::string& key : joined->names()) {
      if (const std::string to = rename(key); !to.empty()) view.add_whole(to, key);
    }
    write_tensors(view, dir.path(), name, {});
    return dir / (name + ".safetensors");
  }
  std::shared_ptr<const TensorSource> open_checkpoint_source() const;

  test::TempDir dir;
  fs::path path;
  ExportReport report;
};

std::shared_ptr<const TensorSource> SingleFile::open_checkpoint_source() const {
  return std::make_shared<WeightFiles>(WeightFiles::open_file(path));
}

const auto kAsIs = [](const std::string& name) { return name; };

/// Codes and texts of warnings while it lives.
struct Warnings {
  Warnings() {
    set_log_sink([this](const LogEvent& event) {
      if (event.level == LogLevel::kWarning) texts.push_back(event.code + ": " + event.message);
    });
  }
  ~Warnings() { set_log_sink({}); }
  std::vector<std::string> texts;
};

std::string evidence(const ModelFiles& model) {
  std::string all;
  for (const std::string& line : model.family.evidence) all += line + "\n";
  return all;
}

}  // namespace

TEST_CASE("a folder's tensors are the same through a single file") {
  for (const char* name : {"sd1", "sd2"}) {
    INFO(name);
    const SingleFile single(name);
    SingleFileOptions options;
    options.prediction_type = "epsilon";
    const ModelFiles folder = open_model_folder(tiny(name));
    const ModelFiles file = open_single_file(single.path, options);
    REQUIRE(file.components.size() == 3);
    for (const ComponentFiles& had : folder.components) {
      const ComponentFiles& read = file.component(had.name);
      CHECK(read.class_name == had.class_name);
      std::vector<std::string> dropped;
      const LayoutKeys keys = module_keys(had, dropped);
      CHECK(read.weights->size() == keys.size());
      for (const auto& [key, name_in_file] : keys) {
        REQUIRE(read.weights->find(key) != nullptr);
        CHECK(read.weights->find(key)->shape == had.weights->find(name_in_file)->shape);
        CHECK(bytes_of(*read.weights, key) == bytes_of(*had.weights, name_in_file));
      }
    }
    CHECK(file.tokenizer == single.dir / "tokenizer");
    CHECK(file.dropped.empty());
  }
}

TEST_CASE("what a single file cannot say is listed when it is written") {
  const SingleFile single("sd1");
  std::string warnings;
  for (const std::string& line : single.report.warnings) warnings += line + "\n";
  CHECK_THAT(warnings,
             Contains("unet.norm_num_groups is 8 and readers of the file will assume 32"));
  CHECK_THAT(warnings, Contains("unet.attention_head_dim is 4"));
  std::string dropped;
  for (const std::string& line : single.report.dropped) dropped += line + "\n";
  CHECK_THAT(dropped, Contains("tokenizer") && Contains("scheduler"));
}

TEST_CASE("sizes and family are read off names and shapes") {
  const SingleFile single("sd1");
  const ModelFiles model = open_model(single.path);
  CHECK(model.family.name == "Stable Diffusion 1.x");
  const auto& unet = model.component("unet").config;
  CHECK(unet["block_out_channels"] == nlohmann::json({16, 32}));
  CHECK(unet["down_block_types"] == nlohmann::json({"CrossAttnDownBlock2D", "DownBlock2D"}));
  CHECK(unet["layers_per_block"] == 1);
  CHECK(unet["cross_attention_dim"] == 32);
  CHECK(unet["attention_head_dim"] == 8);
  CHECK(unet["use_linear_projection"] == false);
  CHECK(model.component("vae").config["scaling_factor"] == 0.18215);
  CHECK(model.component("text_encoder").config["hidden_act"] == "quick_gelu");
  CHECK(model.scheduler_config["_class_name"] == "PNDMScheduler");
  CHECK_THAT(evidence(model), Contains("4 channels in") && Contains("8 heads") &&
                                  Contains("latents are scaled by 0.18215, the family's"));
}

TEST_CASE("prediction type: the user, files beside, metadata, guesses") {
  const SingleFile single("sd2");  // v-prediction, in its metadata
  SingleFileOptions asked;
  asked.prediction_type = "epsilon";
  const auto type = [&](const fs::path& path, const SingleFileOptions& options = {}) {
    return open_single_file(path, options).scheduler_config["prediction_type"].get<std::string>();
  };
  {
    Warnings warnings;
    CHECK(type(single.path) == "v_prediction");
    REQUIRE(warnings.texts.size() == 1);
    CHECK_THAT(warnings.texts[0], Contains("modelspec.prediction_type"));
    CHECK(type(single.path, asked) == "epsilon");
    CHECK(warnings.texts.size() == 1);
  }
  CHECK(open_single_file(single.path).component("unet").config["upcast_attention"] == true);
  single.dir.write("scheduler_config.json", R"({"prediction_type":"epsilon"})");
  CHECK(type(single.path) == "epsilon");
  single.dir.write("model.json", R"({"prediction_type":"v_prediction"})");
  CHECK(type(single.path) == "v_prediction");
  single.dir.write("model.yaml", "model:\n  params:\n    parameterization: \"eps\" # base\n");
  CHECK(type(single.path) == "epsilon");
  single.dir.write("model.yaml", "model:\n  params:\n    parameterization: 'v'\n");
  CHECK(type(single.path) == "v_prediction");
  single.dir.write("model.yaml", "target: ldm.models.diffusion.ddpm.LatentDiffusion\n");
  CHECK(type(single.path) == "epsilon");
}

TEST_CASE("prediction type: guessed from weights, with a warning") {
  const SingleFile single("sd2");
  const std::string telling =
      "model.diffusion_model.output_blocks.3.1.transformer_blocks.0.norm1.bias";
  for (const bool wide : {false, true}) {
    test::MemoryTensors more;
    std::vector<float> values(16);
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = (i % 2 == 0 ? 1.0F : -1.0F) * (wide ? 0.2F : 0.05F);
    }
    const auto bytes = std::as_bytes(std::span(values));
    more.source->add_value("new", DType::F32, {16}, {bytes.begin(), bytes.end()});
    const fs::path path = single.write_changed("guess", more, [&](const std::string& name) {
      return name == telling ? "" : name == "new" ? telling : name;
    });
    Warnings warnings;
    const ModelFiles model = open_single_file(path);
    CHECK(model.scheduler_config["prediction_type"] == (wide ? "v_prediction" : "epsilon"));
    REQUIRE(!warnings.texts.empty());
    CHECK_THAT(warnings.texts[0], Contains("a guess") && Contains("norm1.bias"));
    fs::remove(path);
  }
}

TEST_CASE("averaged weights: alone, beside plain ones, and when asked for") {
  const SingleFile single("sd1");
  const std::string unet = "model.diffusion_model.";
  const fs::path only = single.write_changed("only", {}, [&](const std::string& name) {
    return name.starts_with(unet) ? averaged_name(name.substr(6)) : name;
  });
  const ModelFiles averaged = open_single_file(only);
  CHECK(averaged.component("unet").weights->size() ==
        open_single_file(single.path).component("unet").weights->size());
  CHECK_THAT(evidence(averaged), Contains("averaged (model_ema.), the only ones there"));

  test::MemoryTensors more;
  const auto own = single.open_checkpoint_source();
  for (const std::string& name : own->names()) {
    if (name.starts_with(unet)) {
      more.add(averaged_name(name.substr(6)), own->find(name)->shape, 1000);
    }
  }
  const fs::path both = single.write_changed("both", more, kAsIs);
  const auto first = [](const ModelFiles& model) {
    return model.component("unet").weights->find("conv_in.bias")->dtype;
  };
  const ModelFiles plain = open_single_file(both);
  CHECK_THAT(evidence(plain), Contains("plain, as the family's public samplers"));
  CHECK(plain.dropped.size() == more.source->size());
  SingleFileOptions options;
  options.averaged = true;
  const ModelFiles asked = open_single_file(both, options);
  CHECK_THAT(evidence(asked), Contains("averaged (model_ema.), as asked for"));
  CHECK(first(asked) == DType::F32);
  CHECK(first(plain) == first(open_single_file(single.path)));
}

TEST_CASE("useless tensors are listed with the reason, unknown ones with a warning") {
  const SingleFile single("sd1");
  test::MemoryTensors more;
  more.add("betas", {4});
  more.add("first_stage_model.loss.logvar", {1});
  more.add("control_model.zero.weight", {1});
  more.add("scale_factor", {}, 0.5F);
  const fs::path path = single.write_changed("more", more, kAsIs);
  Warnings warnings;
  const ModelFiles model = open_single_file(path);
  CHECK(model.dropped.size() == 4);
  REQUIRE(warnings.texts.size() == 1);
  CHECK_THAT(warnings.texts[0], Contains("control_model.zero.weight"));
  CHECK(model.component("vae").config["scaling_factor"] == 0.5);
  CHECK_THAT(evidence(model), Contains("the file's scale_factor"));
}

TEST_CASE("files that are no checkpoints are refused") {
  const SingleFile single("sd1");
  const auto message = [&](const std::function<std::string(const std::string&)>& rename) {
    const fs::path path = single.write_changed("bad", {}, rename);
    const auto error = error_of([&] { open_single_file(path); });
    fs::remove(path);
    REQUIRE(error);
    CHECK(error->exit_code() == 4);
    return error->message() + " " + error->hint();
  };
  CHECK_THAT(message([](const std::string& name) { return "lora_" + name; }),
             Contains("no checkpoint in the original layout"));
  CHECK_THAT(
      message([](const std::string& name) { return name.starts_with("first_stage") ? name : ""; }),
      Contains("--vae"));
  CHECK_THAT(
      message([](const std::string& name) { return name.starts_with("first_stage") ? "" : name; }),
      Contains("no autoencoder"));
  CHECK_THAT(message([](const std::string& name) {
               return name.starts_with("model.diffusion_model.output_blocks.1.") ? "" : name;
             }),
             Contains("make no known network"));
  CHECK_THAT(
      message([](const std::string& name) { return name.starts_with("cond_stage") ? "" : name; }),
      Contains("attn2") || Contains("family"));
  fs::remove_all(single.dir / "tokenizer");
  const auto error = error_of([&] { open_single_file(single.path); });
  REQUIRE(error);
  CHECK_THAT(error->message() + error->hint(), Contains("no tokenizer") && Contains("merges.txt"));
}

TEST_CASE("autoencoders by themselves: folders and files of both layouts") {
  const SingleFile single("sd1");
  const ComponentFiles folder = open_vae_file(tiny("sd1") / "vae");
  CHECK(folder.class_name == "AutoencoderKL");
  CHECK(open_vae_file(tiny("sd1")).weights->size() == folder.weights->size());
  const std::string root = "first_stage_model.";
  const fs::path bare = single.write_changed("bare", {}, [&](const std::string& name) {
    return name.starts_with(root) ? name.substr(root.size()) : "";
  });
  const fs::path weights = tiny("sd1") / "vae" / "diffusion_pytorch_model.safetensors";
  for (const fs::path& path : {single.path, bare, weights}) {
    INFO(path);
    const ComponentFiles vae = open_vae_file(path);
    CHECK(vae.class_name == "AutoencoderKL");
    CHECK(vae.config["block_out_channels"] == folder.config["block_out_channels"]);
    CHECK(vae.config["scaling_factor"] == 0.18215);
    CHECK(vae.weights->size() == folder.weights->size());
    const std::string name = "decoder.mid_block.resnets.0.conv1.weight";
    CHECK(bytes_of(*vae.weights, name) == bytes_of(*folder.weights, name));
  }
  const auto error = error_of(
      [&] { open_vae_file(tiny("sd1") / "unet" / "diffusion_pytorch_model.fp16.safetensors"); });
  REQUIRE(error);
  CHECK_THAT(error->message(), Contains("holds no autoencoder"));
}

}  // namespace ldm
