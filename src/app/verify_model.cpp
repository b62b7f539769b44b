#include <map>

#include "ldm/app/commands.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/checksums.h"
#include "ldm/io/open_tensors.h"
#include "ldm/io/torch_checkpoint.h"
#include "ldm/loading/model_files.h"
#include "ldm/loading/verify.h"

namespace ldm::app {
namespace {

using Json = nlohmann::ordered_json;

Json verdict_json(const ComponentVerdict& verdict) {
  Json out = {{"name", verdict.name}, {"class", verdict.class_name}, {"sound", verdict.sound()}};
  out["missing"] = verdict.missing;
  out["unexpected"] = verdict.unexpected;
  out["mis_shaped"] = verdict.mis_shaped;
  out["non_finite"] = verdict.non_finite;
  out["unreadable"] = verdict.unreadable;
  return out;
}

void print_verdict(const ComponentVerdict& verdict, Console& console) {
  console.result(cat(verdict.name, "  ", escape_control(verdict.class_name), "  ",
                     verdict.sound() ? "sound" : "NOT SOUND"));
  const auto list = [&console](const char* what, const std::vector<std::string>& items) {
    for (const std::string& item : items) {
      console.result(cat("  ", what, "  ", escape_control(item)));
    }
  };
  list("missing    ", verdict.missing);
  list("unexpected ", verdict.unexpected);
  list("mis-shaped ", verdict.mis_shaped);
  list("non-finite ", verdict.non_finite);
  list("unreadable ", verdict.unreadable);
}

/// Every file of the model, once, with what vouches for it.
std::map<std::filesystem::path, Integrity> check_files(const ModelFiles& files) {
  std::map<std::filesystem::path, Integrity> verdicts;
  for (const ComponentFiles& component : files.components) {
    for (const SourceFile& file : component.weights->files()) {
      if (verdicts.contains(file.path)) continue;
      // A checkpoint's records that the model does not use may be damaged too.
      const auto source = open_tensors(file.path);
      if (const auto* checkpoint = dynamic_cast<const TorchCheckpoint*>(source.get())) {
        checkpoint->check_all();
      }
      verdicts[file.path] = check_integrity(file.path);
    }
  }
  return verdicts;
}

/// Prints the files' verdicts or adds them to `out`; names the damaged ones.
std::vector<std::string> report_files(const ModelFiles& files, Json& out, Console& console) {
  std::vector<std::string> damaged;
  out["files"] = Json::array();
  for (const auto& [path, integrity] : check_files(files)) {
    if (integrity.state == IntegrityState::kMismatch) damaged.push_back(path.filename().string());
    out["files"].push_back({{"name", path.filename().string()},
                            {"integrity", describe(integrity)},
                            {"tensor", integrity.tensor}});
    if (console.json) continue;
    const std::string tensor = integrity.tensor.empty() ? "" : ", tensor " + integrity.tensor;
    console.result(
        escape_control(cat(path.filename().string(), "  ", describe(integrity), tensor)));
  }
  return damaged;
}

}  // namespace

void verify_model(const std::string& model, const Options& options, Console& console) {
  Options named = options;
  if (!model.empty()) named.model = model;
  const std::filesystem::path path = resolve_model(named);
  const ModelFiles files = open_model(path);
  Json out = {{"schema", 1}, {"model", model_display_name(named, path)}};
  out["components"] = Json::array();
  std::vector<std::string> unsound;
  for (const ComponentFiles& component : files.components) {
    const ComponentVerdict verdict = verify_component(component);
    if (!verdict.sound()) unsound.push_back(verdict.name);
    if (console.json) {
      out["components"].push_back(verdict_json(verdict));
    } else {
      print_verdict(verdict, console);
    }
  }
  for (std::string& file : report_files(files, out, console)) unsound.push_back(std::move(file));
  if (console.json) {
    console.result(out.dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  if (unsound.empty()) return;
  throw Error::model(cat(path.string(), ": ", join(unsound, ", "), " not sound"),
                     "get the model again, or compare with the list above");
}

}  // namespace ldm::app
