// Any bytes as what a stranger's picture says of itself: the text "ldm-gen" ('o' before it) or
// "parameters" (anything else). Read for people, as a command line, and to be made again.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "ldm/app/check_options.h"
#include "ldm/app/recorded_picture.h"
#include "ldm/app/recorded_settings.h"
#include "ldm/core/error.h"

namespace {

constexpr std::size_t kMostSettings = 256;
constexpr std::size_t kMostBytes = std::size_t{1} << 16;

/// Only Error::input may come out of it.
template <typename Read>
void read_safely(const Read& read) {
  try {
    read();
  } catch (const ldm::Error& error) {
    if (error.code() != ldm::ErrorCode::kInput) std::abort();
  }
}

void check_settings(const std::vector<ldm::PngText>& text) {
  const auto settings = ldm::app::recorded_settings(text, "a.png");
  if (settings.size() > kMostSettings) std::abort();
  for (const auto& setting : settings) {
    if (setting.value.size() > kMostBytes) std::abort();
  }
  const auto command = ldm::app::picture_command(settings);
  // One line of one program, whatever the picture says.
  if (command.line.find('\n') != std::string::npos) std::abort();
  if (!command.line.empty() && !(command.line + " ").starts_with("ldm-gen ")) std::abort();
}

void check_picture(const std::vector<ldm::PngText>& text) {
  const auto picture = ldm::app::read_recorded_picture(text, "a.png");
  if (picture.options.init_image || picture.options.mask || picture.options.output) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string key = data[0] == 'o' ? "ldm-gen" : "parameters";
  const std::vector<ldm::PngText> text = {
      {key, std::string(reinterpret_cast<const char*>(data) + 1, size - 1)}};
  read_safely([&] { check_settings(text); });
  read_safely([&] { check_picture(text); });
  return 0;
}
