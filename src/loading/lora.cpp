#include "ldm/loading/lora.h"

#include <algorithm>
#include <array>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/log.h"
#include "ldm/core/text.h"
#include "ldm/io/original_layout.h"
#include "ldm/io/renamed_tensors.h"

namespace ldm {
namespace {

constexpr std::string_view kWeight = ".weight";
constexpr std::size_t kListed = 5;

/// Names and shapes of parameters as something that the layout's tables rename.
class ParameterNames final : public TensorSource {
 public:
  explicit ParameterNames(const std::map<std::string, std::vector<std::int64_t>>& shapes) {
    for (const auto& [name, shape] : shapes) {
      std::uint64_t bytes = 1;
      for (const std::int64_t size : shape) bytes *= static_cast<std::uint64_t>(size);
      infos_.emplace(name, TensorInfo{name, DType::U8, shape, 0, bytes});
    }
  }
  const TensorInfo* find(std::string_view name) const override {
    const auto found = infos_.find(name);
    return found == infos_.end() ? nullptr : &found->second;
  }
  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    for (const auto& item : infos_) names.push_back(item.first);
    return names;
  }
  void read_part(std::string_view name, std::uint64_t, std::span<std::byte>) const override {
    throw Error::internal(cat("the values of ", name, " are not known"));
  }
  std::filesystem::path file_of(std::string_view) const override { return {}; }
  std::vector<SourceFile> files() const override { return {}; }
  const std::map<std::string, std::string>& metadata() const override { return metadata_; }
  void check_unchanged() const override {}

 private:
  std::map<std::string, TensorInfo, std::less<>> infos_;
  std::map<std::string, std::string> metadata_;
};

/// Other names that files give a layer whose name ends so: diffusers' first attention processors
/// spoke of a text encoder's projections as of a UNet's.
constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kAliases = {{
    {".to_out.0", ".to_out"},
    {".q_proj", ".to_q"},
    {".k_proj", ".to_k"},
    {".v_proj", ".to_v"},
    {".out_proj", ".to_out"},
}};

/// What the kind of tensors that match nothing says about the file.
std::string hint_for(const std::vector<std::string>& unmatched) {
  const auto any = [&unmatched](std::string_view part) {
    return std::any_of(unmatched.begin(), unmatched.end(), [part](const std::string& name) {
      return name.find(part) != std::string::npos;
    });
  };
  if (any("lora_te1_") || any("lora_te2_") || any("text_encoder_2.")) {
    return "the file was made for Stable Diffusion XL";
  }
  if (any("oft_") || any("boft_")) return "OFT is not read, only LoRA, LoCon, LoHa, LoKr and DoRA";
  return "the file was made for another kind of model; --lora-partial takes what matches";
}

/// The update without what belongs to another parameter.
WeightUpdate without(WeightUpdate update, LoraRole role) {
  update.tensors[static_cast<std::size_t>(role)].clear();
  return update;
}

WeightUpdate only(const WeightUpdate& update, LoraRole role) {
  WeightUpdate one = update;
  one.tensors = {};
  one.tensors[static_cast<std::size_t>(role)] = update.name(role);
  return one;
}

}  // namespace

LoraTargets::LoraTargets(const torch::nn::Module& module) {
  for (const auto& item : module.named_parameters()) {
    const std::string& key = item.key();
    const bool table = key.ends_with("embedding.weight");
    if (table) continue;
    shapes_.emplace(key, item.value().sizes().vec());
    if (!key.ends_with(kWeight)) continue;
    const std::string name = key.substr(0, key.size() - kWeight.size());
    add(name, key);
    for (const auto& [ending, other] : kAliases) {
      if (name.ends_with(ending)) add(cat(name.substr(0, name.size() - ending.size()), other), key);
    }
  }
  if (shapes_.contains("conv_in.weight")) add_original_names();
}

void LoraTargets::add(const std::string& name, const std::string& parameter) {
  std::vector<std::string> names = {name};
  // transformers dropped this prefix of CLIP's names.
  constexpr std::string_view kOptional = "text_model.";
  if (name.starts_with(kOptional)) names.push_back(name.substr(kOptional.size()));
  for (std::string& each : names) {
    by_name_.emplace(each, parameter);
    std::replace(each.begin(), each.end(), '.', '_');
    by_name_.emplace(each, parameter);
  }
}

void LoraTargets::add_original_names() {
  const auto names = std::make_shared<ParameterNames>(shapes_);
  const LayoutKeys keys = keys_below(*names, "");
  RenamedTensors view(names);
  try {
    add_to_original(view, *names, keys, unet_blocks(outline_diffusers_unet(keys)), "");
  } catch (const Error&) {
    // A UNet of blocks that the original layout has no names for.
    return;
  }
  for (const std::string& name : view.names()) {
    const std::vector<TensorPiece>& pieces = view.pieces(name);
    if (pieces.size() != 1 || !name.ends_with(kWeight)) continue;
    add(name.substr(0, name.size() - kWeight.size()), pieces.front().source);
  }
}

const std::string* LoraTargets::find(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &found->second;
}

at::IntArrayRef LoraTargets::shape(const std::string& parameter) const {
  const auto found = shapes_.find(parameter);
  return found == shapes_.end() ? at::IntArrayRef() : at::IntArrayRef(found->second);
}

/// What one file has that cannot be used.
struct LoraMatcher::Misfits {
  std::vector<std::string> unmatched;
  std::vector<std::string> halves = {};
  std::vector<std::string> mis_shaped = {};

  void report(const LoraFile& file, bool partial, bool none) const;
};

void LoraMatcher::Misfits::report(const LoraFile& file, bool partial, bool none) const {
  std::vector<std::string> problems;
  const auto add = [&problems](const std::vector<std::string>& names, const char* what) {
    if (!names.empty()) {
      problems.push_back(cat(names.size(), " ", what, ": ", join(names, ", ", kListed)));
    }
  };
  add(mis_shaped, "of another shape");
  add(halves, "without their other half");
  const bool fatal = !problems.empty() || none || !partial;
  add(unmatched, cat("of ", file.source->size(), " tensors match nothing").c_str());
  if (problems.empty() && none) problems.emplace_back("no LoRA layers in it");
  if (problems.empty()) return;
  std::string message = cat(file.path.string(), ": ", join(problems, "; "));
  const std::string hint =
      mis_shaped.empty() ? hint_for(unmatched) : "the file was made for a model of another size";
  if (fatal) throw Error::model(std::move(message), hint);
  log_warning("lora-partial", std::move(message));
}

LoraMatcher::LoraMatcher(const LoraModules& modules) {
  for (const auto& [name, module] : modules) targets_.emplace(name, LoraTargets(*module));
}

bool LoraMatcher::add_layer(const LoraFile& file, const LoraLayer& layer, Matched& out,
                            Misfits& misfits) {
  const auto target = targets_.find(layer.component);
  const std::string* key = target == targets_.end() ? nullptr : target->second.find(layer.name);
  if (key == nullptr) {
    for (std::string& name : layer.names()) misfits.unmatched.push_back(std::move(name));
    return false;
  }
  if (!layer.is_whole()) {
    misfits.halves.push_back(layer.names().front());
    return false;
  }
  const WeightUpdate all{file.source, layer.tensors, file.factor(layer)};
  std::map<std::string, WeightUpdate> parts;
  const WeightUpdate of_weight = without(all, LoraRole::kBiasDiff);
  const auto roles = {LoraRole::kUp, LoraRole::kHada1A, LoraRole::kKron2, LoraRole::kKron2A,
                      LoraRole::kDiff};
  const bool changes_weight =
      std::any_of(roles.begin(), roles.end(), [&](LoraRole role) { return layer.has(role); });
  if (changes_weight) parts.emplace(*key, of_weight);
  if (layer.has(LoraRole::kBiasDiff)) {
    const std::string bias = key->substr(0, key->size() - kWeight.size()) + ".bias";
    parts.emplace(bias, only(all, LoraRole::kBiasDiff));
  }
  for (const auto& [parameter, update] : parts) {
    std::string misfit = update_misfit(update, target->second.shape(parameter));
    if (misfit.empty()) continue;
    misfits.mis_shaped.push_back(std::move(misfit));
    return false;
  }
  for (auto& [parameter, update] : parts) {
    out.updates[layer.component][parameter].push_back(std::move(update));
  }
  return true;
}

const LoraMatcher::Matched& LoraMatcher::match_file(const LoraChoice& choice, bool partial) {
  if (const auto known = files_.find(choice.file); known != files_.end()) return known->second;
  const LoraFile file(choice.file);
  Matched matched;
  matched.use.name = file.path.filename().string();
  matched.use.sha256 = file.sha256;
  matched.use.data_sha256 = file.data_sha256;
  Misfits misfits{file.others};
  for (const LoraLayer& layer : file.layers) {
    if (add_layer(file, layer, matched, misfits)) ++matched.use.layers;
  }
  misfits.report(file, partial, matched.use.layers == 0);
  matched.use.tensors = file.source->size();
  matched.use.unmatched = misfits.unmatched.size();
  return files_.emplace(choice.file, std::move(matched)).first->second;
}

std::vector<LoraUse> LoraMatcher::match(const LoraRequest& request) {
  std::vector<LoraUse> uses;
  for (const LoraChoice& choice : request.files) {
    LoraUse& use = uses.emplace_back(match_file(choice, request.partial).use);
    use.scale = choice.scale;
    use.from_prompt = choice.from_prompt;
  }
  return uses;
}

std::map<std::string, WeightUpdates> LoraMatcher::updates(const LoraRequest& request) const {
  std::map<std::string, WeightUpdates> all;
  for (const LoraChoice& choice : request.files) {
    // A change by nothing leaves the weights bit for bit as they are.
    if (choice.scale == 0) continue;
    for (const auto& [component, updates] : files_.at(choice.file).updates) {
      for (const auto& [parameter, list] : updates) {
        for (WeightUpdate update : list) {
          update.strength = choice.scale;
          all[component][parameter].push_back(std::move(update));
        }
      }
    }
  }
  return all;
}

}  // namespace ldm
