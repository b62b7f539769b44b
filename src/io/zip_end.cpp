#include <algorithm>

#include "ldm/core/text.h"
#include "ldm/io/zip_fields.h"

namespace ldm::zip {
namespace {

constexpr std::uint32_t kEnd64Mark = 0x06064b50;
constexpr std::uint32_t kLocatorMark = 0x07064b50;
constexpr std::uint32_t kEndMark = 0x06054b50;
constexpr std::size_t kEndBytes = 22;
constexpr std::size_t kLocatorBytes = 20;
constexpr std::size_t kEnd64Bytes = 56;

End read_end64(std::span<const std::byte> tail, std::uint64_t tail_begin) {
  const std::size_t locator_at = tail.size() - kEndBytes - kLocatorBytes;
  Fields locator(tail.subspan(locator_at + 4, kLocatorBytes - 4));
  const std::uint32_t disk = locator.u32();
  const std::uint64_t at = locator.u64();
  if (disk != 0 || locator.u32() != 1) refuse("E_ZIP_ZIP64", "the archive spans several disks");
  if (locator_at < kEnd64Bytes || at != tail_begin + locator_at - kEnd64Bytes) {
    refuse("E_ZIP_ZIP64", "the zip64 end record is not where its locator says");
  }
  Fields in(tail.subspan(locator_at - kEnd64Bytes, kEnd64Bytes));
  if (in.u32() != kEnd64Mark || in.u64() != kEnd64Bytes - 12) {
    refuse("E_ZIP_ZIP64", "the zip64 end record is damaged");
  }
  const std::uint16_t made_by = in.u16();
  const std::uint16_t needed = in.u16();
  // 3.0 on Unix is what torch writes, 4.5 what Python's zipfile writes.
  constexpr std::uint16_t kZip64Version = 45;
  if ((made_by != 0x031E && made_by != kZip64Version) || needed != kZip64Version) {
    refuse("E_ZIP_ZIP64", cat("zip64 version ", made_by, "/", needed, " is not known"), kResave);
  }
  if (in.u32() != 0 || in.u32() != 0) refuse("E_ZIP_ZIP64", "the archive spans several disks");
  End end;
  end.records = in.u64();
  if (in.u64() != end.records) refuse("E_ZIP_ZIP64", "the archive spans several disks");
  end.bytes = in.u64();
  end.offset = in.u64();
  return end;
}

}  // namespace

End read_end(const ByteSource& source, const ZipLimits& limits) {
  const std::uint64_t file_size = source.size();
  if (file_size < kEndBytes) refuse("E_ZIP_SHORT", cat("only ", file_size, " bytes"));
  std::vector<std::byte> tail(static_cast<std::size_t>(
      std::min<std::uint64_t>(file_size, kEnd64Bytes + kLocatorBytes + kEndBytes)));
  source.read_at(file_size - tail.size(), tail);
  const std::span<const std::byte> bytes_of_tail(tail);
  const auto mark_at = [bytes_of_tail](std::size_t from_end) {
    if (from_end > bytes_of_tail.size()) return std::uint32_t{0};
    Fields mark(bytes_of_tail.last(from_end));
    return mark.u32();
  };
  Fields in(bytes_of_tail.last(kEndBytes));
  if (in.u32() != kEndMark) {
    refuse("E_ZIP_END", "the zip's table of contents is not at the end of the file",
           "the download is incomplete: download again");
  }
  if (in.u32() != 0) refuse("E_ZIP_DIRECTORY", "the archive spans several disks", kResave);
  const std::uint16_t on_disk = in.u16();
  const std::uint16_t records = in.u16();
  const std::uint32_t bytes = in.u32();
  const std::uint32_t offset = in.u32();
  if (on_disk != records || in.u16() != 0) {
    refuse("E_ZIP_DIRECTORY", "the end record is damaged or has a comment", kResave);
  }
  End end{records, bytes, offset};
  std::uint64_t end_at = file_size - kEndBytes;
  if (mark_at(kEndBytes + kLocatorBytes) == kLocatorMark) {
    end = read_end64(tail, file_size - tail.size());
    end_at -= kLocatorBytes + kEnd64Bytes;
    if (records != std::min<std::uint64_t>(end.records, kSaturated16) ||
        bytes != std::min<std::uint64_t>(end.bytes, kSaturated32) ||
        offset != std::min<std::uint64_t>(end.offset, kSaturated32)) {
      refuse("E_ZIP_ZIP64", "the two end records disagree");
    }
  }
  if (end.records > limits.max_records || end.bytes > limits.max_directory_bytes) {
    refuse("E_ZIP_LIMIT", cat(end.records, " records, ", end.bytes, " bytes of directory"),
           kResave);
  }
  if (end.offset > end_at || end.bytes != end_at - end.offset ||
      end.bytes / kCentralBytes < end.records) {
    refuse("E_ZIP_DIRECTORY", cat("a table of ", end.records, " records and ", end.bytes,
                                  " bytes at byte ", end.offset, " does not fit the file"));
  }
  return end;
}

}  // namespace ldm::zip
