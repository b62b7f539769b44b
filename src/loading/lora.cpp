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

/// What one file has that cannot be used.
struct Misfits {
  std::vector<std::string> unmatched;
  std::vector<std::string> halves;
  std::vector<std::string> mis_shaped;
};

std::string shape_text(at::IntArrayRef shape) { return cat(shape); }

/// Whether the factors multiply to `weight`; leaves out dimensions of size 1 on either side.
bool fits(at::IntArrayRef weight, at::IntArrayRef up, at::IntArrayRef mid, at::IntArrayRef down) {
  if (weight.size() < 2 || up.size() < 2 || down.size() < 2) return false;
  const std::int64_t rank = down[0];
  const auto count = [](at::IntArrayRef shape) {
    std::int64_t numbers = 1;
    for (const std::int64_t size : shape) numbers *= size;
    return numbers;
  };
  const std::int64_t kernel = count(weight.slice(2));
  if (up[0] != weight[0] || up[1] != rank || count(up.slice(2)) != 1) return false;
  if (down[1] != weight[1]) return false;
  if (mid.empty()) {
    return count(down.slice(2)) == kernel && (kernel == 1 || down.slice(2) == weight.slice(2));
  }
  return mid.size() == 4 && mid[0] == rank && mid[1] == rank && mid.slice(2) == weight.slice(2) &&
         count(down.slice(2)) == 1;
}

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
  if (any("hada_") || any("lokr_")) return "LoHa and LoKr are not read, only LoRA and LoCon";
  if (any("dora_scale") || any("lora_magnitude_vector")) return "DoRA is not read, only LoRA";
  return "the file was made for another kind of model; --lora-partial takes what matches";
}

class Matcher {
 public:
  Matcher(const LoraModules& modules, std::map<std::string, WeightUpdates>& updates)
      : updates_(updates) {
    for (const auto& [name, module] : modules) targets_.emplace(name, LoraTargets(*module));
  }

  LoraUse match(const LoraChoice& choice, bool partial) {
    const LoraFile file(choice.file);
    LoraUse use{file.path.filename().string(), file.sha256, choice.scale, 0};
    Misfits misfits{file.others, {}, {}};
    for (const LoraLayer& layer : file.layers) {
      if (add_layer(file, layer, choice.scale, misfits)) ++use.layers;
    }
    report(file, misfits, partial, use.layers == 0);
    return use;
  }

 private:
  bool add_layer(const LoraFile& file, const LoraLayer& layer, double scale, Misfits& misfits) {
    const auto target = targets_.find(layer.component);
    const std::string* key = target == targets_.end() ? nullptr : target->second.find(layer.name);
    if (key == nullptr) {
      for (std::string& name : layer.tensors()) misfits.unmatched.push_back(std::move(name));
      return false;
    }
    if (layer.up.empty() || layer.down.empty()) {
      misfits.halves.push_back(layer.tensors().front());
      return false;
    }
    const auto shape_of = [&file](const std::string& name) {
      return name.empty() ? at::IntArrayRef() : at::IntArrayRef(file.source->find(name)->shape);
    };
    const at::IntArrayRef weight = target->second.shape(*key);
    const at::IntArrayRef up = shape_of(layer.up), down = shape_of(layer.down);
    if (!fits(weight, up, shape_of(layer.mid), down)) {
      misfits.mis_shaped.push_back(cat(layer.up, " ", shape_text(up), " · ", shape_text(down),
                                       " for a weight ", shape_text(weight)));
      return false;
    }
    const double factor = scale * file.factor(layer, down[0]);
    // A change by nothing leaves the weight bit for bit as it is.
    if (scale == 0) return true;
    updates_[layer.component][*key].push_back(
        {file.source, layer.up, layer.mid, layer.down, factor});
    return true;
  }

  static void report(const LoraFile& file, const Misfits& misfits, bool partial, bool none) {
    std::vector<std::string> problems;
    const auto add = [&problems](const std::vector<std::string>& names, const char* what) {
      if (!names.empty()) {
        problems.push_back(cat(names.size(), " ", what, ": ", join(names, ", ", kListed)));
      }
    };
    add(misfits.mis_shaped, "of another shape");
    add(misfits.halves, "without their other half");
    const bool fatal = !problems.empty() || none || !partial;
    add(misfits.unmatched, cat("of ", file.source->size(), " tensors match nothing").c_str());
    if (problems.empty() && none) problems.emplace_back("no LoRA layers in it");
    if (problems.empty()) return;
    std::string message = cat(file.path.string(), ": ", join(problems, "; "));
    const std::string hint = misfits.mis_shaped.empty()
                                 ? hint_for(misfits.unmatched)
                                 : "the file was made for a model of another size";
    if (fatal) throw Error::model(std::move(message), hint);
    log_warning("lora-partial", std::move(message));
  }

  std::map<std::string, LoraTargets> targets_;
  std::map<std::string, WeightUpdates>& updates_;
};

}  // namespace

LoraTargets::LoraTargets(const torch::nn::Module& module) {
  for (const auto& item : module.named_parameters()) {
    const std::string& key = item.key();
    const bool table = key.ends_with("embedding.weight");
    if (item.value().dim() < 2 || !key.ends_with(kWeight) || table) continue;
    shapes_.emplace(key, item.value().sizes().vec());
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
  return shapes_.at(parameter);
}

std::vector<LoraUse> match_loras(const LoraRequest& request, const LoraModules& modules,
                                 std::map<std::string, WeightUpdates>& updates) {
  std::vector<LoraUse> uses;
  if (request.files.empty()) return uses;
  Matcher matcher(modules, updates);
  for (const LoraChoice& choice : request.files) {
    uses.push_back(matcher.match(choice, request.partial));
  }
  return uses;
}

}  // namespace ldm
