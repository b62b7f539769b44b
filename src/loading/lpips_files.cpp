#include "ldm/loading/lpips_files.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <system_error>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/joined_tensors.h"
#include "ldm/io/key_map.h"
#include "ldm/io/legacy_checkpoint.h"
#include "ldm/io/open_tensors.h"
#include "ldm/io/renamed_tensors.h"
#include "ldm/io/safetensors_writer.h"
#include "ldm/loading/load_module.h"

namespace ldm {
namespace fs = std::filesystem;

namespace {

constexpr std::string_view kBackbone = "net.";
constexpr std::string_view kRanking = "rank.";

// The public trainer names a backbone's layers by stage, and each weighting twice.
constexpr std::array<KeyRule, 7> kStages = {{{"slice1", "features"},
                                             {"slice2", "features"},
                                             {"slice3", "features"},
                                             {"slice4", "features"},
                                             {"slice5", "features"},
                                             {"slice6", "features"},
                                             {"slice7", "features"}}};
constexpr std::array<std::string_view, 5> kIgnored = {"lins.", "scaling_layer.", kRanking,
                                                      "net.classifier.", "classifier."};
constexpr KeyMap kMap = {"LPIPS", {}, {}, kStages, kIgnored};
constexpr KeyMap kSameNames = {};

std::string backbone_source(models::PerceptualNet net) {
  switch (net) {
    case models::PerceptualNet::kVgg:
      return "vgg16-397923af.pth";
    case models::PerceptualNet::kAlex:
      return "alexnet-owt-7be5be79.pth";
    case models::PerceptualNet::kSqueeze:
      return "squeezenet1_1-b8a52dc0.pth";
  }
  return {};
}

[[noreturn]] void ask_for_lin(models::PerceptualNet net) {
  const std::string_view name = models::perceptual_net_name(net);
  throw Error::usage(cat("LPIPS (", name, ") needs --lin FILE, or --weights FILE"),
                     cat("pip download lpips==0.1.4 --no-deps, unzip the wheel, and give its ",
                         "lpips/weights/v0.1/", name, ".pth"));
}

[[noreturn]] void ask_for_backbone(models::PerceptualNet net) {
  throw Error::usage(cat("LPIPS (", models::perceptual_net_name(net), ") needs --backbone FILE"),
                     cat("get https://download.pytorch.org/models/", backbone_source(net),
                         ", the weights that torchvision uses"));
}

void load_module(torch::nn::Module& module, const TensorSource& files, const KeyMap& map,
                 const std::string& what, const Execution& execution) {
  const WeightBinding binding = bind_weights(module, files, map);
  if (!binding.complete()) {
    throw Error::model(binding.problems(what),
                       "do --net and the files belong to the same network?");
  }
  load_weights(files, binding, execution);
  module.eval();
}

bool has_prefix(const TensorSource& files, std::string_view prefix) {
  const std::vector<std::string> names = files.names();
  return std::any_of(names.begin(), names.end(),
                     [prefix](const std::string& name) { return name.starts_with(prefix); });
}

LpipsContents contents_of(const TensorSource& files, const fs::path& path) {
  LpipsContents contents;
  contents.has_backbone = has_prefix(files, kBackbone);
  contents.has_ranking = has_prefix(files, kRanking);
  const TensorInfo* second = files.find("lin1.model.1.weight");
  if (second == nullptr || second->shape.size() != 4) {
    throw Error::model(cat(path.string(), ": no weightings of LPIPS (\"lin1.model.1.weight\")"),
                       "give a file of ldm-lpips train or of the PyPI package lpips");
  }
  // The second stage's width tells VGG and SqueezeNet (128) from AlexNet (192).
  contents.net = second->shape[1] == 192                        ? models::PerceptualNet::kAlex
                 : files.find("lin6.model.1.weight") != nullptr ? models::PerceptualNet::kSqueeze
                                                                : models::PerceptualNet::kVgg;
  return contents;
}

void add_parameter(JoinedTensors& out, const std::string& name, const at::Tensor& parameter) {
  const at::Tensor values = parameter.detach().to(at::kCPU, at::kFloat).contiguous();
  std::vector<std::byte> bytes(values.nbytes());
  std::memcpy(bytes.data(), values.const_data_ptr(), bytes.size());
  out.add_value(name, DType::F32, values.sizes().vec(), std::move(bytes));
}

}  // namespace

std::shared_ptr<const TensorSource> open_lpips_tensors(const fs::path& path) {
  if (is_legacy_checkpoint(path)) return std::make_shared<LegacyCheckpoint>(path);
  return open_tensors(path);
}

LpipsContents inspect_lpips_file(const fs::path& path) {
  return contents_of(*open_lpips_tensors(path), path);
}

models::LPIPS load_lpips(const LpipsFiles& files, const Execution& execution) {
  JoinedTensors all;
  models::PerceptualNet net = files.net;
  bool has_backbone = false;
  if (!files.weights.empty()) {
    const auto weights = open_lpips_tensors(files.weights);
    const LpipsContents contents = contents_of(*weights, files.weights);
    net = contents.net;
    has_backbone = contents.has_backbone;
    all.add("", weights);
  } else {
    if (files.lin.empty()) ask_for_lin(net);
    all.add("", open_lpips_tensors(files.lin));
  }
  if (!has_backbone) {
    if (files.backbone.empty()) ask_for_backbone(net);
    all.add(kBackbone, open_lpips_tensors(files.backbone));
  } else if (!files.backbone.empty()) {
    throw Error::usage(cat(files.weights.string(), " holds its own backbone"),
                       "leave --backbone out");
  }
  models::LPIPS lpips(net);
  load_module(*lpips, all, kMap, cat("LPIPS (", models::perceptual_net_name(net), ")"), execution);
  return lpips;
}

void load_lpips_backbone(models::LPIPS& lpips, const fs::path& path, const Execution& execution) {
  if (path.empty()) ask_for_backbone(lpips->net->net);
  load_module(*lpips->net, *open_lpips_tensors(path), kMap, path.string(), execution);
}

models::RankingNet load_ranking(const fs::path& weights, const Execution& execution) {
  const auto file = open_lpips_tensors(weights);
  RenamedTensors view(file);
  for (const std::string& name : file->names()) {
    if (name.starts_with(kRanking)) view.add_whole(name.substr(kRanking.size()), name);
  }
  models::RankingNet ranking;
  load_module(*ranking, view, kSameNames, cat(weights.string(), ": ranking network"), execution);
  return ranking;
}

void save_lpips(const fs::path& path, const models::LPIPS& lpips, const models::RankingNet& ranking,
                bool with_backbone, const std::string& mode, bool overwrite) {
  if (path.extension() != ".safetensors") {
    throw Error::usage(cat(path.string(), ": weights are written as .safetensors"));
  }
  JoinedTensors tensors;
  for (const auto& item : lpips->named_parameters()) {
    if (!with_backbone && item.key().starts_with(kBackbone)) continue;
    add_parameter(tensors, item.key(), item.value());
  }
  for (const auto& item : ranking->named_parameters()) {
    add_parameter(tensors, cat(kRanking, item.key()), item.value());
  }
  TensorWriteOptions options;
  options.metadata = {{"net", std::string(models::perceptual_net_name(lpips->net->net))},
                      {"lpips_mode", mode}};
  options.if_exists = overwrite ? IfExists::kReplace : IfExists::kRefuse;
  write_tensors(tensors, path.parent_path(), path.stem().string(), options);
}

}  // namespace ldm
