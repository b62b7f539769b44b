// Any bytes as a *.index.json: only ldm::Error may come out, and no shard may lie elsewhere.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "ldm/core/error.h"
#include "ldm/io/weights_index.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto map = ldm::parse_weight_map({reinterpret_cast<const char*>(data), size});
    for (const auto& [tensor, shard] : map) {
      if (std::filesystem::path(shard).filename() != shard || shard.front() == '.') std::abort();
    }
  } catch (const ldm::Error& error) {
    if (error.rule().empty() || error.exit_code() != 4) std::abort();
  }
  return 0;
}
