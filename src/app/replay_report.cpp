#include "ldm/app/replay_report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "ldm/core/text.h"

namespace ldm::app {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFile = "file";
constexpr const char* kPixels = "pixels";

/// Where to look when a stage is the first to differ.
std::string cause_of(const std::string& stage) {
  constexpr std::array<std::pair<std::string_view, const char*>, 8> kCauses = {{
      {"tokens", "the prompt in the file or the tokenizer is not the one it was made with"},
      {"embeddings", "look at the text encoder's weights, dtype, and the machine"},
      {"first_latents", "look at seed, size, sampler, and the picture or latents it began with"},
      {"base_latents",
       "look at the UNet's weights, the sampler's settings, dtype, threads, machine"},
      {"latents", "look at the UNet's weights, the sampler's settings, dtype, threads, machine"},
      {"picture", "look at the autoencoder's weights, dtype, and the machine"},
      {kFile, "the file's pixels were changed after it was made"},
      {kPixels,
       "no hashes are recorded: only pixels can be compared, and other programs and "
       "models draw other ones"},
  }};
  for (const auto& [name, cause] : kCauses) {
    if (name == stage) return cause;
  }
  return {};
}

std::string pixels_text(const PixelDifference& pixels) {
  if (!pixels.same_size) return "the pictures differ in size";
  if (pixels.largest == 0) return "the pixels are equal all the same";
  const auto tenths = static_cast<long>(std::lround(pixels.psnr_db * 10));
  return cat("pixels differ by up to ", pixels.largest, " of 255, PSNR ", tenths / 10, ".",
             tenths % 10, " dB");
}

std::string shown(const Compared& item) {
  constexpr std::size_t kMost = 40;
  const auto part = [](const std::string& text) {
    return text.size() > kMost ? text.substr(0, 10) + "…" : text;
  };
  return cat(item.name, " ", part(item.here), " (recorded ", part(item.recorded), ")");
}

Json list_json(const std::vector<Compared>& items) {
  Json out = Json::array();
  for (const Compared& item : items) {
    const auto text = [](const std::string& value) {
      return value.empty() ? Json(nullptr) : Json(value);
    };
    Json row = {{"name", item.name}};
    row["same"] = item.known() ? Json(!item.differs()) : Json(nullptr);
    row["recorded"] = text(item.recorded);
    row["here"] = text(item.here);
    out.push_back(std::move(row));
  }
  return out;
}

/// The stages that any of both sides knows.
std::vector<Compared> compare_stages(const StageHashes& recorded, const Json& here) {
  std::vector<Compared> out;
  recorded.visit([&](const char* name, const std::string& sha256) {
    if (!sha256.empty() || here.contains(name)) out.push_back({name, sha256, here.value(name, "")});
  });
  const bool any = std::any_of(out.begin(), out.end(),
                               [](const Compared& stage) { return !stage.recorded.empty(); });
  return any ? out : std::vector<Compared>();
}

}  // namespace

PixelDifference compare_pixels(const Image& a, const Image& b) {
  PixelDifference out;
  out.same_size = a.width == b.width && a.height == b.height && a.rgb.size() == b.rgb.size();
  if (!out.same_size || a.rgb.empty()) return out;
  double squares = 0;
  for (std::size_t i = 0; i < a.rgb.size(); ++i) {
    const int distance = std::abs(int{a.rgb[i]} - int{b.rgb[i]});
    out.largest = std::max(out.largest, distance);
    squares += static_cast<double>(distance) * distance;
  }
  if (out.largest == 0) return out;
  constexpr double kPeak = 255.0;
  out.psnr_db = 10 * std::log10(kPeak * kPeak * static_cast<double>(a.rgb.size()) / squares);
  return out;
}

std::vector<Compared> compare_maps(const std::map<std::string, std::string>& recorded,
                                   const std::map<std::string, std::string>& here) {
  std::vector<Compared> out;
  for (const auto& [name, value] : recorded) {
    const auto found = here.find(name);
    out.push_back({name, value, found == here.end() ? "" : found->second});
  }
  for (const auto& [name, value] : here) {
    if (!recorded.contains(name)) out.push_back({name, "", value});
  }
  return out;
}

std::string ReplayReport::first_difference() const {
  for (const Compared& stage : stages) {
    if (stage.differs()) return stage.name;
  }
  if (!pixels.any()) return {};
  return stages.empty() ? kPixels : kFile;
}

ReplayReport compare_replay(const RecordedPicture& recorded, const nlohmann::json& settings,
                            const PixelDifference& pixels) {
  ReplayReport out;
  out.stages = compare_stages(recorded.stages, settings.value("stages", Json::object()));
  out.weights = compare_maps(recorded.weights,
                             settings.value("weights", std::map<std::string, std::string>()));
  out.environment = compare_maps(recorded.environment, environment_of(settings));
  out.pixels = pixels;
  return out;
}

Error replay_error(const ReplayReport& report, const std::string& name) {
  const std::string first = report.first_difference();
  std::vector<std::string> others;
  for (const Compared& weights : report.weights) {
    if (weights.differs())
      others.push_back(shown({weights.name + " weights", weights.recorded, weights.here}));
  }
  for (const Compared& item : report.environment) {
    if (item.differs()) others.push_back(shown(item));
  }
  std::string text = first == kFile || first == kPixels
                         ? cat(name, ": ")
                         : cat(name, ": first differs at ", first, "; ");
  text += pixels_text(report.pixels);
  if (!others.empty()) text += "; also different: " + join(others, ", ");
  return Error::stopped(ErrorCode::kPartial, text, cause_of(first));
}

Json replay_event(const ReplayReport& report, const std::string& name) {
  const std::string first = report.first_difference();
  Json out = {{"event", "replay"}, {"schema", 1}, {"picture", name}};
  out["identical"] = first.empty();
  out["first_difference"] = first.empty() ? Json(nullptr) : Json(first);
  out["stages"] = list_json(report.stages);
  out["pixels"] = {{"same_size", report.pixels.same_size}};
  if (report.pixels.same_size) out["pixels"]["largest_difference"] = report.pixels.largest;
  if (report.pixels.same_size && report.pixels.any()) {
    out["pixels"]["psnr_db"] = report.pixels.psnr_db;
  }
  out["weights"] = list_json(report.weights);
  out["environment"] = list_json(report.environment);
  return out;
}

}  // namespace ldm::app
