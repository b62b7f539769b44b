#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ldm/io/byte_source.h"

namespace ldm {

struct TarLimits {
  std::uint64_t max_entries = 10'000'000;
  std::uint64_t max_name_bytes = 4096;            ///< of one entry, however it is stored
  std::uint64_t max_extended_bytes = 64U << 10U;  ///< of one pax or long-name header's text
};

/// One regular file in an archive.
struct TarEntry {
  std::string name;         ///< UTF-8, as stored
  std::uint64_t begin = 0;  ///< its first byte in the archive
  std::uint64_t size = 0;   ///< bytes
};

/// Reads all headers of a tar: ustar, pax (path, size) or GNU with long names; folders are passed
/// by. Every byte must be accounted for, up to the end mark and the zeros after it. Refused with
/// Error::model_rule: E_TAR_SHORT (truncated), E_TAR_END (no end mark: truncated), E_TAR_TRAILING
/// (bytes after it), E_TAR_CHECKSUM (or no tar at all), E_TAR_NUMBER, E_TAR_TYPE (links, devices,
/// sparse files), E_TAR_PAX, E_TAR_NAME, E_TAR_LIMIT. Source: POSIX.1-2017 pax, "ustar Interchange
/// Format" and "pax Header Block", and the GNU tar manual for 'L' headers and base-256 numbers.
std::vector<TarEntry> read_tar_entries(const ByteSource& source, const TarLimits& limits = {});

}  // namespace ldm
