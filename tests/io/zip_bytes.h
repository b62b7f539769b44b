#pragma once

#include <zlib.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ldm::test {

/// Writes a zip byte by byte as torch's writer does: plain records, descriptors, "FB" padding,
/// zip64 end records. Tests change the bytes, or the switches, afterwards.
class ZipBytes {
 public:
  explicit ZipBytes(std::string folder = "archive") : folder_(std::move(folder)) {}

  bool has_zip64_end = true;
  std::uint16_t flags = 0x0808;
  std::uint16_t method = 0;
  std::string padding = "ZZZ";

  /// Appends a record; `name` without the folder.
  void add(std::string_view name, std::string_view data) {
    Entry entry{folder_ + "/" + std::string(name), crc_of(data), data.size(), bytes_.size()};
    const bool later = (flags & 8U) != 0;
    bytes_ += "PK\x03\x04";
    add_common(bytes_, entry, later);
    add_number(bytes_, padding.size() + 4, 2);
    bytes_ += entry.name + "FB";
    add_number(bytes_, padding.size(), 2);
    bytes_ += padding;
    bytes_ += data;
    if (later) {
      bytes_ += "PK\x07\x08";
      add_number(bytes_, entry.crc, 4);
      add_number(bytes_, entry.size, 4);
      add_number(bytes_, entry.size, 4);
    }
    entries_.push_back(entry);
  }

  /// The whole file.
  std::string finish() const {
    std::string out = bytes_;
    for (const Entry& entry : entries_) {
      out += std::string("PK\x01\x02\0\0", 6);
      add_common(out, entry, false);
      out += std::string(12, '\0');  // extra, comment, disk, attributes
      add_number(out, entry.offset, 4);
      out += entry.name;
    }
    const std::uint64_t directory = out.size() - bytes_.size();
    const std::uint64_t end_at = out.size();
    if (has_zip64_end) {
      out += "PK\x06\x06";
      add_number(out, 44, 8);
      add_number(out, 0x002D031E, 4);
      add_number(out, 0, 8);
      add_number(out, entries_.size(), 8);
      add_number(out, entries_.size(), 8);
      add_number(out, directory, 8);
      add_number(out, bytes_.size(), 8);
      out += std::string("PK\x06\x07\0\0\0\0", 8);
      add_number(out, end_at, 8);
      add_number(out, 1, 4);
    }
    out += std::string("PK\x05\x06\0\0\0\0", 8);
    add_number(out, entries_.size(), 2);
    add_number(out, entries_.size(), 2);
    add_number(out, directory, 4);
    add_number(out, bytes_.size(), 4);
    add_number(out, 0, 2);
    return out;
  }

  static void add_number(std::string& out, std::uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; ++i, value >>= 8U) out += static_cast<char>(value & 0xFFU);
  }
  static std::uint32_t crc_of(std::string_view data) {
    return static_cast<std::uint32_t>(
        crc32_z(0, reinterpret_cast<const Bytef*>(data.data()), data.size()));
  }

 private:
  struct Entry {
    std::string name;
    std::uint32_t crc;
    std::uint64_t size;
    std::uint64_t offset;
  };

  // The fields that both headers have, up to the name's length.
  void add_common(std::string& out, const Entry& entry, bool later) const {
    add_number(out, 0, 2);
    add_number(out, flags, 2);
    add_number(out, method, 2);
    add_number(out, 0, 4);
    add_number(out, later ? 0 : entry.crc, 4);
    add_number(out, later ? 0 : entry.size, 4);
    add_number(out, later ? 0 : entry.size, 4);
    add_number(out, entry.name.size(), 2);
  }

  std::string folder_;
  std::string bytes_;
  std::vector<Entry> entries_;
};

/// A whole torch checkpoint: data.pkl, byteorder, the storages as data/0, data/1, …
inline std::string checkpoint_bytes(std::string_view pickle,
                                    const std::vector<std::string>& storages) {
  ZipBytes zip;
  zip.add("data.pkl", pickle);
  zip.add("byteorder", "little");
  for (std::size_t i = 0; i < storages.size(); ++i) {
    zip.add("data/" + std::to_string(i), storages[i]);
  }
  zip.add("version", "3\n");
  return zip.finish();
}

}  // namespace ldm::test
