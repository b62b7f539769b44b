#include "ldm/app/progress.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "ldm/core/text.h"

namespace ldm::app {
namespace {

std::string step_speed(double seconds) {
  std::array<char, 32> buffer{};
  const char* form = seconds < 0.1 ? "%.3f s/it" : "%.2f s/it";
  std::snprintf(buffer.data(), buffer.size(), form, seconds);
  return buffer.data();
}

std::string bar(int step, int steps, std::size_t width) {
  const double share = static_cast<double>(step) / std::max(1, steps);
  const auto filled = std::min(width, static_cast<std::size_t>(share * static_cast<double>(width)));
  return "[" + std::string(filled, '#') + std::string(width - filled, '.') + "]";
}

}  // namespace

double seconds_left(const ProgressState& state) {
  const int images_after = std::max(0, state.images - (state.image - 1) - state.batch);
  const int batches_after = (images_after + state.batch - 1) / std::max(1, state.batch);
  const int steps_left = state.steps - state.step + batches_after * state.steps;
  const double decode_s =
      state.decode_s > 0 ? state.decode_s : 2 * state.step_s / std::max(1, state.batch);
  return steps_left * state.step_s + (state.images - state.images_done) * decode_s;
}

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

std::string progress_line(const ProgressState& state, std::size_t columns) {
  std::string image;
  if (state.images > 1) {
    image = cat("image ", state.image);
    if (state.batch > 1) image += cat("-", std::min(state.image + state.batch - 1, state.images));
    image += cat("/", state.images, "  ");
  }
  const std::string step = cat("step ", state.step, "/", state.steps);
  const std::string rest =
      cat("  ", step_speed(state.step_s), "  ETA ", clock_text(seconds_left(state)));
  std::string line = image + step + rest;
  constexpr std::size_t kMostBar = 30;
  constexpr std::size_t kLeastBar = 8;
  const std::size_t room = columns > line.size() + 4 ? columns - line.size() - 5 : 0;
  if (room >= kLeastBar) {
    line = image + bar(state.step, state.steps, std::min(room, kMostBar)) + "  " + step + rest;
  }
  return line.substr(0, columns > 1 ? columns - 1 : 0);
}

ProgressMeter::ProgressMeter(Console& console, const Plan& plan, bool shown)
    : console_(console),
      shown_(shown),
      terminal_(console.stderr_is_terminal()),
      last_(Clock::now()),
      last_image_(last_) {
  state_.images = plan.request.num_images;
  state_.batch = std::max(1, plan.request.batch_size);
  state_.steps = std::max(1, plan.steps);
}

void ProgressMeter::expect(int images, int done) {
  state_.images = images;
  state_.images_done = done;
  before_ = done;
}

void ProgressMeter::on_start(const std::string& model_name) {
  if (shown_ && terminal_) console_.live("loading " + escape_control(model_name));
}

void ProgressMeter::on_step(const StepInfo& info) {
  state_.image = before_ + info.first_image + 1;
  state_.batch = std::max(1, info.images);
  state_.step = info.index + 1;
  state_.steps = std::max(1, info.of);
  // The first step carries one-time costs; later ones are averaged with slowly fading memory.
  constexpr double kKeep = 0.8;
  const bool fresh = state_.step_s <= 0 || info.index <= 1;
  state_.step_s = fresh ? info.seconds : kKeep * state_.step_s + (1 - kKeep) * info.seconds;
  last_ = Clock::now();
  if (shown_ && terminal_) console_.live(progress_line(state_, console_.columns()));
}

void ProgressMeter::on_image(const ImageResult& result, const std::filesystem::path& path) {
  const Clock::time_point now = Clock::now();
  state_.decode_s = std::chrono::duration<double>(now - last_).count();
  last_ = now;
  ++state_.images_done;
  if (!shown_) return;
  if (terminal_) {
    if (state_.images_done == state_.images) console_.live("");
    return;
  }
  std::array<char, 32> seconds{};
  std::snprintf(seconds.data(), seconds.size(), "%.1f s",
                std::chrono::duration<double>(now - last_image_).count());
  last_image_ = now;
  console_.info(cat("image ", state_.images_done, "/", state_.images, "  seed ", result.seed, "  ",
                    seconds.data(), "  ", path.string()));
}

void ProgressMeter::finish() { console_.live(""); }

}  // namespace ldm::app
