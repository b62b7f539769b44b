#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ldm/app/metadata.h"
#include "ldm/app/run_report.h"
#include "ldm/core/error.h"
#include "ldm/core/log.h"

namespace ldm::app {

// The events of --json: one object a line, "event" first, then "schema": 1.

/// `plan`: the resolved request and what will be computed for it.
nlohmann::ordered_json plan_event(const RunFacts& facts,
                                  const std::vector<std::filesystem::path>& outputs);
/// `load`: a component's weights came into memory.
nlohmann::ordered_json load_event(const LoadInfo& info);
/// `step`: one UNet call finished.
nlohmann::ordered_json step_event(const StepInfo& info);
/// `image`: a picture was written; `sha256` is of the file.
nlohmann::ordered_json image_event(const std::filesystem::path& path, std::uint64_t seed, int index,
                                   const std::string& sha256);
nlohmann::ordered_json warning_event(const LogEvent& event);
nlohmann::ordered_json error_event(const Error& error);
/// `done`, the last: counts, exit code, device, timings.
nlohmann::ordered_json done_event(const RunReport& report, int exit_code);

/// An event as its line, with the final newline; bytes that are not UTF-8 become U+FFFD.
std::string event_line(const nlohmann::ordered_json& event);

}  // namespace ldm::app
