// Any bytes as JSON: what is accepted must be what nlohmann's own parser reads, and write back.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "ldm/io/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  nlohmann::json value;
  const auto fault = ldm::try_parse_json(text, {}, value);
  if (fault) {
    if (fault->offset > size || fault->text.empty()) std::abort();
    return 0;
  }
  if (value != nlohmann::json::parse(text)) std::abort();
  nlohmann::json again;
  if (ldm::try_parse_json(value.dump(), {}, again) || again != value) std::abort();
  return 0;
}
