#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "ldm/app/metadata.h"
#include "ldm/app/run_report.h"
#include "ldm/core/error.h"
#include "ldm/core/log.h"

namespace ldm::app {

// The events of --json: one object a line, "event" first, then "schema": 1. Their fields are
// described in configs/schemas/events.schema.json.

/// A picture's file.
struct WrittenPicture {
  std::filesystem::path path;
  std::uint64_t seed = 0;
  std::int64_t index = 0;  ///< in its run
  std::string sha256;      ///< of the file
};

/// `plan`: the resolved request and what will be computed for it.
nlohmann::ordered_json plan_event(const RunFacts& facts,
                                  const std::vector<std::filesystem::path>& outputs);
/// `load`: a component's weights came into memory.
nlohmann::ordered_json load_event(const LoadInfo& info);
/// `step`: one UNet call finished. `left_s`: until the whole run ends.
nlohmann::ordered_json step_event(const StepInfo& info, std::optional<double> left_s,
                                  double rss_bytes);
/// `image`: a picture was written; `sha256` is of the file.
nlohmann::ordered_json image_event(const WrittenPicture& picture, double seconds,
                                   std::optional<double> left_s);
/// `batch`: the pictures that this process is to make; `done` of them were there already.
nlohmann::ordered_json batch_event(std::int64_t pictures, std::size_t done,
                                   const std::filesystem::path& output_dir, int batch_size);
/// `failed`: a job of a batch could not be done; `index` is of its first picture.
nlohmann::ordered_json failed_event(std::int64_t index, const std::string& source,
                                    const Error& error);
/// `grid`: the sheet of --grid was written.
nlohmann::ordered_json grid_event(const std::filesystem::path& path, std::int64_t pictures,
                                  std::int64_t missing, const std::string& sha256);
nlohmann::ordered_json warning_event(const LogEvent& event);
nlohmann::ordered_json error_event(const Error& error);
/// `done`, the last: counts, exit code, device, timings.
nlohmann::ordered_json done_event(const RunReport& report, int exit_code);

/// An event as its line, with the final newline; bytes that are not UTF-8 become U+FFFD.
std::string event_line(const nlohmann::ordered_json& event);

}  // namespace ldm::app
