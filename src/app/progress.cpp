#include "ldm/app/progress.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <vector>

#include "ldm/core/device.h"
#include "ldm/core/text.h"

namespace ldm::app {
namespace {

std::string formatted(const char* form, double value) {
  std::array<char, 48> buffer{};
  std::snprintf(buffer.data(), buffer.size(), form, value);
  return buffer.data();
}

std::string bar(int step, int steps, std::size_t width) {
  const double share = static_cast<double>(step) / std::max(1, steps);
  const auto filled = std::min(width, static_cast<std::size_t>(share * static_cast<double>(width)));
  return "[" + std::string(filled, '#') + std::string(width - filled, '.') + "]  ";
}

std::string image_text(const ProgressState& state) {
  if (state.images <= 1) return {};
  std::string image = cat("image ", state.image);
  if (state.batch > 1) image += cat("-", std::min(state.image + state.batch - 1, state.images));
  return image + cat("/", state.images, "  ");
}

std::string eta_text(const ProgressState& state) {
  return state.left_s ? "  ETA " + clock_text(*state.left_s) : std::string();
}

}  // namespace

std::string clock_text(double seconds) {
  const long total = std::lround(std::clamp(seconds, 0.0, 3.6e8));
  std::array<char, 32> buffer{};
  if (total >= 3600) {
    std::snprintf(buffer.data(), buffer.size(), "%ld:%02ld:%02ld", total / 3600, total / 60 % 60,
                  total % 60);
  } else {
    std::snprintf(buffer.data(), buffer.size(), "%ld:%02ld", total / 60, total % 60);
  }
  return buffer.data();
}

std::string image_rate_text(double seconds_per_image) {
  constexpr double kFast = 1;
  if (seconds_per_image >= kFast) return formatted("%.1f s/image", seconds_per_image);
  return formatted("%.0f images/min", 60 / std::max(1e-3, seconds_per_image));
}

std::string progress_line(const ProgressState& state, std::size_t columns) {
  const std::string image = image_text(state);
  std::string step = state.decoding ? "decoding" : cat("step ", state.step, "/", state.steps);
  if (state.second_pass && !state.decoding) step = "hires " + step;
  step += formatted(state.step_s < 0.1 ? "  %.3f s/it" : "  %.2f s/it", state.step_s);
  std::vector<std::string> extras;
  if (state.images > 1 && state.image_s) extras.push_back("  " + image_rate_text(*state.image_s));
  if (state.rss_bytes > 0) {
    extras.push_back(
        cat("  ", human_bytes(state.rss_bytes), " (peak ", human_bytes(state.peak_rss_bytes), ")"));
  }
  const std::string eta = eta_text(state);
  std::string line = image + step;
  const std::size_t most = columns > 1 ? columns - 1 : 0;
  for (const std::string& extra : extras) {
    if (line.size() + extra.size() + eta.size() <= most) line += extra;
  }
  line += eta;
  constexpr std::size_t kMostBar = 30;
  constexpr std::size_t kLeastBar = 8;
  constexpr std::size_t kFrame = 4;
  const std::size_t room = most > line.size() + kFrame ? most - line.size() - kFrame : 0;
  if (room >= kLeastBar) {
    line.insert(image.size(), bar(state.step, state.steps, std::min(room, kMostBar)));
  }
  return line.substr(0, most);
}

ProgressMeter::ProgressMeter(Console& console, bool shown)
    : console_(console),
      shown_(shown),
      terminal_(console.stderr_is_terminal()),
      mark_(Clock::now()),
      image_mark_(mark_) {}

double ProgressMeter::since_mark() {
  const Clock::time_point now = Clock::now();
  const double seconds = std::chrono::duration<double>(now - mark_).count();
  mark_ = now;
  return seconds;
}

void ProgressMeter::redraw() {
  if (!shown_ || !terminal_) return;
  state_.rss_bytes = rss_bytes();
  state_.peak_rss_bytes = ldm::peak_rss_bytes();
  console_.live(progress_line(state_, console_.columns()));
}

void ProgressMeter::expect_loads(const std::map<std::string, double>& parameters) {
  parameters_ = parameters;
  for (const auto& item : parameters) time_left_.expect_load(item.second);
}

void ProgressMeter::on_start(const std::string& model_name) {
  model_ = escape_control(model_name);
  if (!shown_ || !terminal_) return;
  console_.live(cat("loading ", model_, "  about ", clock_text(time_left_.load_seconds())));
}

void ProgressMeter::begin(const CallWork& work) {
  done_ = work.done;
  before_ = work.done + work.waiting;
  time_left_.begin(work.picture, work.left, std::max(0, work.images - before_ - work.pictures));
  state_.images = work.images;
  in_call_ = work.pictures;
  if (work.waiting == 0) image_mark_ = Clock::now();
}

void ProgressMeter::on_load(const LoadInfo& info) {
  loads_s_ += info.seconds;
  const auto found = parameters_.find(info.component);
  if (found == parameters_.end()) return;
  time_left_.loaded(found->second, info.seconds);
  if (state_.step > 0 || made_ > 0) return;
  on_start(model_);
}

void ProgressMeter::on_stage(RunStage stage) {
  const double seconds = std::max(0.0, since_mark() - loads_s_);
  if (stage_ == RunStage::kText && stage == RunStage::kPrepare) {
    time_left_.encoded(in_call_, seconds);
  }
  stage_ = stage;
  loads_s_ = 0;
  state_.decoding = stage == RunStage::kDecode;
  if (state_.decoding) redraw();
}

void ProgressMeter::on_step(const StepInfo& info) {
  state_.image = before_ + info.first_image + 1;
  state_.batch = std::max(1, info.images);
  state_.step = info.index + 1;
  state_.steps = std::max(1, info.of);
  state_.step_s = info.seconds;
  state_.second_pass = info.second_pass;
  time_left_.stepped(info.of, info.images, info.seconds, info.second_pass);
  state_.left_s = time_left_.seconds();
  redraw();
}

void ProgressMeter::on_image(const ImageResult& result, const std::filesystem::path& path) {
  time_left_.decoded(std::max(0.0, since_mark() - loads_s_));
  const Clock::time_point now = Clock::now();
  image_seconds_ = std::chrono::duration<double>(now - image_mark_).count();
  image_mark_ = now;
  busy_s_ += image_seconds_;
  ++made_;
  ++done_;
  state_.image_s = busy_s_ / made_;
  state_.left_s = time_left_.seconds();
  if (!shown_) return;
  if (terminal_) {
    if (done_ >= state_.images) console_.live("");
    return;
  }
  console_.info(cat("image ", done_, "/", state_.images, "  seed ", result.seed, "  ",
                    formatted("%.1f s", image_seconds_), eta_text(state_), "  ", path.string()));
}

void ProgressMeter::finish() { console_.live(""); }

}  // namespace ldm::app
