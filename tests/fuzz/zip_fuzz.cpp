// Any bytes as a zip: only ldm::Error may come out, and what is accepted must be sane.
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/io/zip_archive.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    const ldm::ZipArchive archive{ldm::ByteSource(bytes)};
    std::uint64_t end = 0;
    for (const ldm::ZipRecord& record : archive.records()) {
      if (record.begin < end || record.begin > size || record.size > size - record.begin) {
        std::abort();
      }
      end = record.begin + record.size;
      if (archive.find(record.name) != &record) std::abort();
    }
    for (const ldm::ZipRecord& record : archive.records()) {
      std::vector<std::byte> half(static_cast<std::size_t>(record.size / 2));
      archive.read_part(record, record.size - half.size(), half);
    }
  } catch (const ldm::Error& error) {
    if (error.rule().empty() || error.exit_code() != 4) std::abort();
  }
  return 0;
}
