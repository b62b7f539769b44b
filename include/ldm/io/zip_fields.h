#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/io/little_endian.h"
#include "ldm/io/zip_archive.h"

/// What the readers of a zip's parts share: zip_end.cpp and zip_directory.cpp.
namespace ldm::zip {

inline constexpr std::uint32_t kSaturated32 = std::numeric_limits<std::uint32_t>::max();
inline constexpr std::uint16_t kSaturated16 = std::numeric_limits<std::uint16_t>::max();
inline constexpr std::size_t kCentralBytes = 46;
inline constexpr const char* kAgain = "download or copy the file again";
inline constexpr const char* kResave =
    "save it again with torch.save, or convert it to safetensors";

[[noreturn]] inline void refuse(const char* rule, std::string what, const char* hint = kAgain) {
  throw Error::model_rule(rule, std::move(what), hint);
}

// Little-endian fields, one after the other; the caller has checked that they are there.
class Fields {
 public:
  explicit Fields(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
  std::uint64_t u64() { return number(8); }
  std::size_t left() const { return bytes_.size() - at_; }
  std::span<const std::byte> take(std::size_t count) {
    if (count > left()) refuse("E_ZIP_DIRECTORY", "a header ends in the middle");
    return bytes_.subspan(std::exchange(at_, at_ + count), count);
  }

 private:
  std::uint64_t number(std::size_t count) { return from_little_endian(take(count)); }
  std::span<const std::byte> bytes_;
  std::size_t at_ = 0;
};

/// Where the table of contents lies.
struct End {
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;
  std::uint64_t offset = 0;
};

/// The end record, which must be the last bytes of the file, and the zip64 one where there is one.
End read_end(const ByteSource& source, const ZipLimits& limits);

}  // namespace ldm::zip
