#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ldm/io/byte_source.h"

namespace ldm {

struct ZipLimits {
  std::uint64_t max_records = 100'000;
  std::uint64_t max_directory_bytes = std::uint64_t{64} << 20U;
};

/// One stored (never compressed) entry.
struct ZipRecord {
  std::string name;         ///< without the archive's folder: "data/17"
  std::uint64_t begin = 0;  ///< its first byte in the file
  std::uint64_t size = 0;   ///< bytes
  std::uint32_t crc = 0;    ///< CRC-32 as the directory states it
};

struct ZipDirectory {
  std::string folder;              ///< the one folder that all entries lie in
  std::vector<ZipRecord> records;  ///< in the order of their bytes
};

/// Reads the table of contents of a zip as torch.save writes it, zip64 or not, and compares each
/// entry with the headers around its data. Every byte of the file must be accounted for: a header,
/// the data of one record, padding of the known form, or the directory. Refused with
/// Error::model_rule: E_ZIP_SHORT, E_ZIP_END (no end record: truncated), E_ZIP_DIRECTORY,
/// E_ZIP_ZIP64, E_ZIP_LIMIT, E_ZIP_FLAGS (encrypted), E_ZIP_METHOD (compressed), E_ZIP_NAME,
/// E_ZIP_FOLDER, E_ZIP_DUP, E_ZIP_LAYOUT (overlap, hole), E_ZIP_LOCAL (headers disagree),
/// E_ZIP_EXTRA, E_ZIP_DESCRIPTOR. Source: PKWARE APPNOTE 6.3.10 §4.3-4.5, and the files torch
/// 1.6 to 2.11 writes.
ZipDirectory read_zip_directory(const ByteSource& source, const ZipLimits& limits = {});

/// An opened zip. The CRC-32 of a record is checked once, before any of its bytes are handed out:
/// E_ZIP_CRC names the record. Const members may be used by several threads.
class ZipArchive {
 public:
  explicit ZipArchive(const ByteSource& source, const ZipLimits& limits = {});

  const std::string& folder() const { return directory_.folder; }
  const std::vector<ZipRecord>& records() const { return directory_.records; }
  /// The record of that name (without the folder), or null.
  const ZipRecord* find(std::string_view name) const;

  /// Reads a whole record of at most `max_bytes`; more is E_ZIP_LIMIT.
  std::vector<std::byte> read(const ZipRecord& record, std::uint64_t max_bytes) const;
  /// Fills `out` from byte `offset` of a record.
  void read_part(const ZipRecord& record, std::uint64_t offset, std::span<std::byte> out) const;
  /// Reads the record in pieces and compares its CRC-32, unless that was done before.
  void check(const ZipRecord& record) const;

 private:
  std::size_t index_of(const ZipRecord& record) const;
  void compare(const ZipRecord& record, std::uint32_t crc) const;

  ByteSource source_;
  ZipDirectory directory_;
  std::unordered_map<std::string_view, std::size_t> by_name_;
  std::unique_ptr<std::atomic<bool>[]> checked_;
  // Keeps two threads from hashing the same record; different ones mostly have different locks.
  mutable std::array<std::mutex, 16> locks_;
};

}  // namespace ldm
