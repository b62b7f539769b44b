#include "ldm/train/run_config.h"

#include <algorithm>
#include <array>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/json.h"

namespace ldm::train {
namespace {

/// May change at a resume: none of them changes a number of the run.
constexpr std::array<std::string_view, 5> kFreeFields = {"/run/log_every", "/run/checkpoint_every",
                                                         "/run/keep_checkpoints",
                                                         "/run/sample_every", "/run/data_threads"};

/// Whether a key is a remark for people ("_about").
bool is_remark(const std::string& key) { return !key.empty() && key.front() == '_'; }

void compare(const nlohmann::json& then, const nlohmann::json& now, const std::string& path,
             std::vector<std::string>& differences) {
  if (then.is_object() && now.is_object()) {
    for (const auto& [key, value] : then.items()) {
      if (is_remark(key)) continue;
      compare(value, now.value(key, nlohmann::json()), path + "/" + key, differences);
    }
    for (const auto& [key, value] : now.items()) {
      if (then.contains(key) || is_remark(key)) continue;
      compare(nlohmann::json(), value, path + "/" + key, differences);
    }
  } else if (then != now &&
             std::find(kFreeFields.begin(), kFreeFields.end(), path) == kFreeFields.end()) {
    differences.push_back(cat(path, ": ", then.dump(), ", now ", now.dump()));
  }
}

}  // namespace

void RunSettings::validate(const std::string& where) const {
  const auto require = [&](bool fine, const char* field, const char* problem) {
    if (!fine) throw Error::input(cat(where, ": /", field, " ", problem));
  };
  require(!output_dir.empty(), "output_dir", "is missing");
  require(seed >= 0, "seed", "is negative");
  require(steps > 0, "steps", "must be at least 1");
  require(batch_size > 0, "batch_size", "must be at least 1");
  require(micro_batch_size >= 0, "micro_batch_size", "is negative");
  require(max_grad_norm >= 0, "max_grad_norm", "is negative");
  require(ema_decay >= 0 && ema_decay < 1, "ema_decay", "is not in [0, 1)");
  require(log_every > 0, "log_every", "must be at least 1");
  require(checkpoint_every > 0, "checkpoint_every", "must be at least 1");
  require(keep_checkpoints > 0, "keep_checkpoints", "must be at least 1");
  require(sample_every >= 0, "sample_every", "is negative");
  require(max_skipped_steps > 0, "max_skipped_steps", "must be at least 1");
  require(data_threads >= 0 && data_threads <= 256, "data_threads", "is not in 0 … 256");
  require(device == "cpu" || device == "cuda", "device", "is neither cpu nor cuda");
  require(mixed_precision == "no" || mixed_precision == "bf16" || mixed_precision == "fp16",
          "mixed_precision", "is none of no, bf16, fp16");
}

nlohmann::json section_of(const RunConfig& config, const std::string& name) {
  const auto found = config.document.find(name);
  if (found == config.document.end()) return nlohmann::json::object();
  if (!found->is_object()) throw Error::input(cat(config.source, ": /", name, " is no object"));
  return *found;
}

void refuse_unknown(const std::vector<std::string>& unknown, const std::string& where) {
  if (!unknown.empty()) {
    throw Error::input(
        cat(where, ": unknown ", unknown.size() == 1 ? "key " : "keys ", join(unknown, ", ")));
  }
}

RunConfig read_run_config(const std::string& path, const std::vector<std::string>& sections) {
  RunConfig config;
  config.source = path;
  try {
    config.document = read_json_file(path);
  } catch (Error& error) {
    throw error.with_code(ErrorCode::kInput);
  }
  if (!config.document.is_object()) throw Error::input(cat(path, ": expected a JSON object"));
  std::vector<std::string> known = {"run", "start", "optimizer", "schedule"};
  known.insert(known.end(), sections.begin(), sections.end());
  for (const auto& item : config.document.items()) {
    if (std::find(known.begin(), known.end(), item.key()) == known.end() &&
        !is_remark(item.key())) {
      throw Error::input(cat(path, ": unknown section \"", item.key(), "\""),
                         did_you_mean(item.key(), known));
    }
  }
  config.run = read_section<RunSettings>(config, "run");
  config.start = read_section<StartConfig>(config, "start");
  config.optimizer = read_section<OptimizerConfig>(config, "optimizer");
  config.schedule = read_section<ScheduleConfig>(config, "schedule");
  return config;
}

std::vector<std::string> config_differences(const nlohmann::json& then, const nlohmann::json& now) {
  std::vector<std::string> differences;
  compare(then, now, "", differences);
  return differences;
}

}  // namespace ldm::train
