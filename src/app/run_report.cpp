#include "ldm/app/run_report.h"

#include <time.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>

#include "ldm/core/text.h"

namespace ldm::app {
namespace {

/// Seconds from process start to now by the kernel's clock, or 0 when /proc does not say.
double age_of_process() {
  std::ifstream in("/proc/self/stat");
  const std::string stat{std::istreambuf_iterator<char>(in), {}};
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(stat.substr(name_end + 1));
  std::string field;
  constexpr int kStartTime = 22;
  constexpr int kFirstAfterName = 3;
  for (int i = kFirstAfterName; i <= kStartTime; ++i) fields >> field;
  timespec now{};
  if (!fields || clock_gettime(CLOCK_BOOTTIME, &now) != 0) return 0;
  const double ticks = std::stod(field) / static_cast<double>(sysconf(_SC_CLK_TCK));
  const double age =
      static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9 - ticks;
  return age > 0 ? age : 0;
}

std::string row(const char* name, double seconds) {
  std::array<char, 80> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%-22s %10.3f s\n", name, seconds);
  return buffer.data();
}

std::string memory_row(const char* name, double bytes) {
  std::array<char, 80> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%-22s %12s\n", name, human_bytes(bytes).c_str());
  return buffer.data();
}

}  // namespace

double seconds_since_process_start() {
  using Clock = std::chrono::steady_clock;
  static const double age = age_of_process();
  static const Clock::time_point then = Clock::now();
  return age + std::chrono::duration<double>(Clock::now() - then).count();
}

std::string timings_table(const RunReport& report) {
  std::string out = row("start to first step", report.start_to_first_step_s);
  out += row("loading", report.load_s);
  out += row("text encoder", report.stages.text_encoder_s);
  out += row("UNet step (median)", report.stages.unet_step_s);
  out += row("decode (per image)", report.stages.decode_s);
  out += row("total", report.total_s);
  out += memory_row("peak memory", report.peak.rss_bytes);
  if (report.peak.cuda_bytes > 0) out += memory_row("peak CUDA memory", report.peak.cuda_bytes);
  return out;
}

}  // namespace ldm::app
