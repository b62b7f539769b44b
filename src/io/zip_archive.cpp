#include "ldm/io/zip_archive.h"

#include <zlib.h>

#include <algorithm>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm {
namespace {

// Small enough to be still in the cache when it is hashed.
constexpr std::size_t kPiece = std::size_t{256} << 10U;

std::uint32_t add_crc(std::uint32_t crc, std::span<const std::byte> bytes) {
  return static_cast<std::uint32_t>(
      crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

// Reads straight into `out` and hashes it piece by piece.
std::uint32_t read_and_hash(const ByteSource& source, std::uint64_t begin,
                            std::span<std::byte> out) {
  std::uint32_t crc = 0;
  for (std::size_t at = 0; at < out.size(); at += kPiece) {
    const std::span<std::byte> piece = out.subspan(at, std::min(kPiece, out.size() - at));
    source.read_at(begin + at, piece);
    crc = add_crc(crc, piece);
  }
  return crc;
}

}  // namespace

ZipArchive::ZipArchive(const ByteSource& source, const ZipLimits& limits)
    : source_(source),
      directory_(read_zip_directory(source, limits)),
      checked_(std::make_unique<std::atomic<bool>[]>(directory_.records.size())) {
  by_name_.reserve(directory_.records.size());
  for (std::size_t i = 0; i < directory_.records.size(); ++i) {
    const std::string& name = directory_.records[i].name;
    if (!by_name_.emplace(name, i).second) {
      throw Error::model_rule("E_ZIP_DUP", "record \"" + name + "\" appears twice",
                              "readers disagree which one counts: save the checkpoint again");
    }
  }
}

const ZipRecord* ZipArchive::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &directory_.records[found->second];
}

std::size_t ZipArchive::index_of(const ZipRecord& record) const {
  const auto found = by_name_.find(record.name);
  if (found == by_name_.end()) throw Error::internal("no zip record \"" + record.name + "\"");
  return found->second;
}

void ZipArchive::compare(const ZipRecord& record, std::uint32_t crc) const {
  if (crc == record.crc) return;
  throw Error::model_rule("E_ZIP_CRC",
                          cat("record \"", record.name, "\" is damaged: its ", record.size,
                              " bytes from byte ", record.begin, " do not have its CRC-32"),
                          "download or copy the file again");
}

std::vector<std::byte> ZipArchive::read(const ZipRecord& record, std::uint64_t max_bytes) const {
  if (record.size > max_bytes) {
    throw Error::model_rule("E_ZIP_LIMIT", cat("record \"", record.name, "\" has ", record.size,
                                               " bytes, at most ", max_bytes, " are read"));
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(record.size));
  read_part(record, 0, bytes);
  return bytes;
}

void ZipArchive::read_part(const ZipRecord& record, std::uint64_t offset,
                           std::span<std::byte> out) const {
  if (offset > record.size || out.size() > record.size - offset) {
    throw Error::internal("reading past the end of zip record \"" + record.name + "\"");
  }
  std::atomic<bool>& is_checked = checked_[index_of(record)];
  if (out.size() == record.size && !is_checked.load(std::memory_order_acquire)) {
    compare(record, read_and_hash(source_, record.begin, out));
    is_checked.store(true, std::memory_order_release);
    return;
  }
  check(record);
  source_.read_at(record.begin + offset, out);
}

void ZipArchive::check(const ZipRecord& record) const {
  const std::size_t index = index_of(record);
  std::atomic<bool>& is_checked = checked_[index];
  if (is_checked.load(std::memory_order_acquire)) return;
  const std::lock_guard lock(locks_.at(index % locks_.size()));
  if (is_checked.load(std::memory_order_acquire)) return;
  std::vector<std::byte> piece(
      static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, record.size)));
  std::uint32_t crc = 0;
  for (std::uint64_t at = 0; at < record.size; at += piece.size()) {
    const std::span<std::byte> part = std::span(piece).first(
        static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, record.size - at)));
    source_.read_at(record.begin + at, part);
    crc = add_crc(crc, part);
  }
  compare(record, crc);
  is_checked.store(true, std::memory_order_release);
}

}  // namespace ldm
