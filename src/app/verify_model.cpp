#include "ldm/app/commands.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
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
  if (console.json) {
    console.result(out.dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  if (unsound.empty()) return;
  throw Error::model(cat(path.string(), ": ", join(unsound, ", "), " not sound"),
                     "get the model again, or compare with the list above");
}

}  // namespace ldm::app
