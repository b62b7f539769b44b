#include <algorithm>
#include <array>
#include <map>

#include "ldm/app/commands.h"
#include "ldm/core/text.h"
#include "ldm/io/checksums.h"
#include "ldm/loading/file_digests.h"
#include "ldm/loading/model_files.h"

namespace ldm::app {
namespace {

using Json = nlohmann::ordered_json;

/// The config fields that tell models apart, in the order shown.
constexpr std::array<const char*, 14> kTellingFields = {
    "sample_size",        "in_channels",         "out_channels",       "latent_channels",
    "block_out_channels", "cross_attention_dim", "attention_head_dim", "hidden_size",
    "num_hidden_layers",  "num_attention_heads", "hidden_act",         "use_linear_projection",
    "upcast_attention",   "scaling_factor"};

constexpr std::size_t kMostDropped = 12;

std::int64_t element_count(const TensorInfo& info) {
  std::int64_t count = 1;
  for (const std::int64_t size : info.shape) count *= size;
  return count;
}

Json component_json(const ComponentFiles& component, FileDigests& digests) {
  Json out = {{"name", component.name}, {"class", component.class_name}};
  std::int64_t parameters = 0;
  std::map<std::string, std::int64_t> dtypes;
  for (const std::string& name : component.weights->names()) {
    const TensorInfo& info = *component.weights->find(name);
    parameters += element_count(info);
    ++dtypes[std::string(dtype_name(info.dtype))];
  }
  out["tensors"] = component.weights->size();
  out["parameters"] = parameters;
  out["dtypes"] = dtypes;
  out["files"] = Json::array();
  for (const SourceFile& file : component.weights->files()) {
    out["files"].push_back({{"name", file.path.filename().string()},
                            {"bytes", file.size},
                            {"sha256", digests.of(file.path)},
                            {"integrity", describe(digests.integrity(file.path, false))}});
  }
  out["config"] = component.config;
  return out;
}

Json model_json(const ModelFiles& folder, const std::string& name) {
  Json out = {{"schema", 1}, {"model", name}, {"path", folder.path.string()}};
  out["family"] = folder.family.name;
  out["evidence"] = folder.family.evidence;
  out["dropped"] = folder.dropped;
  out["defaults"] = Json::object();
  GenerationDefaults defaults = folder.defaults;
  defaults.visit([&out](const char* key, const auto& value) {
    if (value) out["defaults"][key] = *value;
  });
  out["scheduler"] = folder.scheduler_config;
  out["components"] = Json::array();
  FileDigests digests;
  for (const ComponentFiles& component : folder.components) {
    out["components"].push_back(component_json(component, digests));
  }
  return out;
}

void print_component(const Json& component, Console& console) {
  console.result("");
  console.result(cat(component["name"].get<std::string>(), "  ",
                     escape_control(component["class"].get<std::string>())));
  std::vector<std::string> dtypes;
  for (const auto& [dtype, count] : component["dtypes"].items()) {
    dtypes.push_back(cat(count.get<std::int64_t>(), " ", dtype));
  }
  console.result(cat("  tensors     ", component["tensors"].get<std::int64_t>(), " (",
                     join(dtypes, ", "), "), ", component["parameters"].get<std::int64_t>(),
                     " parameters"));
  for (const Json& file : component["files"]) {
    console.result(cat("  file        ", escape_control(file["name"].get<std::string>()), ", ",
                       human_bytes(file["bytes"].get<double>()), ", sha256 ",
                       file["sha256"].get<std::string>(), ", ",
                       file["integrity"].get<std::string>()));
  }
  std::vector<std::string> fields;
  for (const char* key : kTellingFields) {
    const auto found = component["config"].find(key);
    if (found == component["config"].end() || found->is_null()) continue;
    fields.push_back(cat(key, " ", escape_control(found->dump())));
  }
  console.result(cat("  config      ", join(fields, ", ")));
}

void print_model(const Json& model, Console& console) {
  console.result(cat(escape_control(model["model"].get<std::string>()), ": ",
                     model["family"].get<std::string>()));
  for (const Json& evidence : model["evidence"]) {
    console.result("  because     " + escape_control(evidence.get<std::string>()));
  }
  const std::size_t dropped = model["dropped"].size();
  for (std::size_t i = 0; i < std::min(dropped, kMostDropped); ++i) {
    console.result("  not used    " + escape_control(model["dropped"][i].get<std::string>()));
  }
  if (dropped > kMostDropped) {
    console.result(cat("  not used    and ", dropped - kMostDropped, " more; --json lists all"));
  }
  const auto scheduler = model["scheduler"].find("_class_name");
  if (scheduler != model["scheduler"].end() && scheduler->is_string()) {
    console.result("  scheduler   " + escape_control(scheduler->get<std::string>()));
  }
  if (!model["defaults"].empty()) {
    std::vector<std::string> defaults;
    for (const auto& [key, value] : model["defaults"].items()) {
      defaults.push_back(cat(key, " ", escape_control(value.dump())));
    }
    console.result("  defaults    " + join(defaults, ", "));
  }
  for (const Json& component : model["components"]) print_component(component, console);
}

}  // namespace

void inspect_model(const std::string& model, const Options& options, Console& console) {
  Options named = options;
  if (!model.empty()) named.model = model;
  const std::filesystem::path path = resolve_model(named);
  const Json out = model_json(open_model(path), model_display_name(named, path));
  if (console.json) {
    console.result(out.dump(-1, ' ', false, Json::error_handler_t::replace));
  } else {
    print_model(out, console);
  }
}

}  // namespace ldm::app
