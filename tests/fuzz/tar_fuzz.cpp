// Any bytes as a tar: only ldm::Error may come out, and what is accepted must be sane.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/tar.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    std::uint64_t end = 0;
    for (const ldm::TarEntry& entry : ldm::read_tar_entries(ldm::ByteSource(bytes))) {
      if (entry.begin < end + 512 || entry.begin > size || entry.size > size - entry.begin) {
        std::abort();
      }
      if (entry.name.empty() || ldm::find_invalid_utf8(entry.name) != std::string::npos) {
        std::abort();
      }
      end = entry.begin + entry.size;
    }
  } catch (const ldm::Error& error) {
    if (error.rule().empty() || error.exit_code() != 4) std::abort();
  }
  return 0;
}
