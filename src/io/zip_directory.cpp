#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "ldm/core/text.h"
#include "ldm/io/zip_archive.h"
#include "ldm/io/zip_fields.h"

namespace ldm {
namespace {

using zip::End;
using zip::Fields;
using zip::kAgain;
using zip::kCentralBytes;
using zip::kResave;
using zip::kSaturated32;
using zip::refuse;

constexpr std::uint32_t kLocalMark = 0x04034b50;
constexpr std::uint32_t kDescriptorMark = 0x08074b50;
constexpr std::uint32_t kCentralMark = 0x02014b50;

constexpr std::size_t kLocalBytes = 30;
constexpr std::size_t kDescriptorBytes = 16;
constexpr std::size_t kDescriptor64Bytes = 24;

constexpr std::uint16_t kHasDescriptor = 1U << 3U;
constexpr std::uint16_t kUtf8Name = 1U << 11U;
constexpr std::uint16_t kEncrypted = (1U << 0U) | (1U << 6U) | (1U << 13U);
constexpr std::uint16_t kZip64Extra = 1;
constexpr std::uint16_t kPaddingExtra = 0x4246;  // "FB", torch's alignment of the data

constexpr std::uint64_t kMaxNameBytes = 1024;

// What local and central headers both state.
struct Common {
  std::uint16_t version_needed, flags, method, time, date;
  std::uint32_t crc, packed, size;
  std::uint16_t name_bytes, extra_bytes;

  explicit Common(Fields& in)
      : version_needed(in.u16()),
        flags(in.u16()),
        method(in.u16()),
        time(in.u16()),
        date(in.u16()),
        crc(in.u32()),
        packed(in.u32()),
        size(in.u32()),
        name_bytes(in.u16()),
        extra_bytes(in.u16()) {}
};

struct Attributes {
  std::uint16_t made_by = 0, internal = 0;
  std::uint32_t external = 0;
  bool operator==(const Attributes&) const = default;
};

struct Entry {
  Common common;
  std::string name;
  std::uint64_t size = 0;
  std::uint64_t offset = 0;
  std::vector<std::uint64_t> wide;  // the values of the zip64 extra, in its order
  Attributes attributes;

  std::size_t descriptor_bytes() const {
    if ((common.flags & kHasDescriptor) == 0) return 0;
    return wide.empty() ? kDescriptorBytes : kDescriptor64Bytes;
  }
};

std::string in_quotes(const std::string& name) {
  constexpr std::size_t kMost = 120;
  return "\"" + (name.size() <= kMost ? name : name.substr(0, kMost) + "…") + "\"";
}

// Takes apart an extra field. Only the two kinds that torch writes are known, each at most once.
struct Extra {
  std::optional<std::span<const std::byte>> zip64;
  bool has_padding = false;

  Extra(std::span<const std::byte> bytes, const std::string& name) {
    Fields in(bytes);
    while (in.left() > 0) {
      if (in.left() < 4) refuse("E_ZIP_EXTRA", "broken extra field of " + in_quotes(name), kResave);
      const std::uint16_t kind = in.u16();
      const std::uint16_t length = in.u16();
      if (length > in.left()) {
        refuse("E_ZIP_EXTRA", "an extra field of " + in_quotes(name) + " is too long", kResave);
      }
      const std::span<const std::byte> body = in.take(length);
      if (kind == kZip64Extra && !zip64) {
        zip64 = body;
      } else if (kind == kPaddingExtra && !has_padding) {
        has_padding = true;
        check_padding(body, name);
      } else {
        refuse("E_ZIP_EXTRA", cat("extra field ", kind, " of ", in_quotes(name), " is not known"),
               kResave);
      }
    }
  }

 private:
  static void check_padding(std::span<const std::byte> body, const std::string& name) {
    if (body.empty()) return;
    const std::byte fill = body.front();
    const bool uniform =
        std::all_of(body.begin(), body.end(), [&](std::byte b) { return b == fill; });
    if (!uniform || (fill != std::byte{'Z'} && fill != std::byte{0})) {
      refuse("E_ZIP_EXTRA", "the padding before " + in_quotes(name) + " is damaged");
    }
  }
};

void check_name(const std::string& name) {
  if (name.empty() || name.size() > kMaxNameBytes || name.find('\0') != std::string::npos ||
      name.find('\\') != std::string::npos || name.back() == '/' ||
      find_invalid_utf8(name) != std::string_view::npos) {
    refuse("E_ZIP_NAME", "the name " + in_quotes(name) + " is none that torch writes", kResave);
  }
}

void check_kind(const Entry& entry) {
  const Common& common = entry.common;
  if ((common.flags & kEncrypted) != 0) {
    refuse("E_ZIP_FLAGS", in_quotes(entry.name) + " is encrypted", kResave);
  }
  if ((common.flags & ~(kHasDescriptor | kUtf8Name)) != 0) {
    refuse("E_ZIP_FLAGS", cat(in_quotes(entry.name), " has unknown flags ", common.flags), kResave);
  }
  if (common.method != 0) {
    refuse("E_ZIP_METHOD", in_quotes(entry.name) + " is compressed; torch stores its records plain",
           kResave);
  }
  if (common.packed != common.size) {
    refuse("E_ZIP_DIRECTORY", in_quotes(entry.name) + " is stored, but has two sizes");
  }
}

// Takes the saturated fields of the central header from its zip64 extra.
void widen(Entry& entry, std::uint32_t offset, const Extra& extra) {
  entry.size = entry.common.size;
  entry.offset = offset;
  const bool wide_size = entry.common.size == kSaturated32;
  const bool wide_offset = offset == kSaturated32;
  const std::size_t expected = (wide_size ? 16U : 0U) + (wide_offset ? 8U : 0U);
  const std::size_t present = extra.zip64 ? extra.zip64->size() : 0;
  if (present != expected || (extra.zip64 && expected == 0)) {
    refuse("E_ZIP_ZIP64", cat("the zip64 field of ", in_quotes(entry.name), " has ", present,
                              " bytes, expected ", expected));
  }
  if (expected == 0) return;
  Fields in(*extra.zip64);
  while (in.left() > 0) entry.wide.push_back(in.u64());
  if (wide_size) {
    entry.size = entry.wide[0];
    if (entry.wide[1] != entry.size) {
      refuse("E_ZIP_DIRECTORY", in_quotes(entry.name) + " is stored, but has two sizes");
    }
  }
  if (wide_offset) entry.offset = entry.wide.back();
}

Entry read_central(Fields& in) {
  if (in.left() < kCentralBytes) refuse("E_ZIP_DIRECTORY", "the table of contents ends too early");
  if (in.u32() != kCentralMark) refuse("E_ZIP_DIRECTORY", "an entry has no signature");
  Attributes attributes;
  attributes.made_by = in.u16();
  const Common common(in);
  const std::uint16_t comment_bytes = in.u16();
  const std::uint16_t disk = in.u16();
  attributes.internal = in.u16();
  attributes.external = in.u32();
  const std::uint32_t offset = in.u32();
  const std::span<const std::byte> name = in.take(common.name_bytes);
  Entry entry{common, std::string(reinterpret_cast<const char*>(name.data()), name.size()),
              0,      0,
              {},     attributes};
  const std::span<const std::byte> extra_bytes = in.take(common.extra_bytes);
  check_name(entry.name);
  if (comment_bytes != 0 || disk != 0) {
    refuse("E_ZIP_DIRECTORY", in_quotes(entry.name) + " has a comment or is on another disk",
           kResave);
  }
  check_kind(entry);
  const Extra extra(extra_bytes, entry.name);
  if (extra.has_padding) refuse("E_ZIP_EXTRA", "padding in the table of contents", kResave);
  widen(entry, offset, extra);
  return entry;
}

std::vector<Entry> read_entries(const ByteSource& source, const End& end) {
  std::vector<std::byte> table(static_cast<std::size_t>(end.bytes));
  source.read_at(end.offset, table);
  Fields in(table);
  std::vector<Entry> entries;
  entries.reserve(static_cast<std::size_t>(end.records));
  for (std::uint64_t i = 0; i < end.records; ++i) {
    entries.push_back(read_central(in));
    // Unused fields, but a damaged one shows by differing from the others.
    if (entries.back().attributes != entries.front().attributes) {
      refuse("E_ZIP_DIRECTORY", in_quotes(entries.back().name) + " has other attributes");
    }
  }
  if (in.left() > 0) refuse("E_ZIP_DIRECTORY", cat(in.left(), " bytes follow the last entry"));
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.offset < b.offset; });
  return entries;
}

void check_local_zip64(const Entry& entry, const Extra& extra) {
  const std::size_t present = extra.zip64 ? extra.zip64->size() : 0;
  if (extra.zip64.has_value() == entry.wide.empty() || present != entry.wide.size() * 8) {
    refuse("E_ZIP_LOCAL", "the zip64 fields of " + in_quotes(entry.name) + " disagree");
  }
  if (entry.wide.empty()) return;
  Fields in(*extra.zip64);
  for (const std::uint64_t expected : entry.wide) {
    const std::uint64_t value = in.u64();
    // Sizes not yet known when the header was written are 0 in it.
    if (value != expected && (value != 0 || (entry.common.flags & kHasDescriptor) == 0)) {
      refuse("E_ZIP_LOCAL", "the zip64 fields of " + in_quotes(entry.name) + " disagree");
    }
  }
}

void check_local(const Entry& entry, std::span<const std::byte> header) {
  Fields in(header);
  if (in.u32() != kLocalMark) {
    refuse("E_ZIP_LOCAL", "no record begins where " + in_quotes(entry.name) + " should");
  }
  const Common local(in);
  const Common& central = entry.common;
  const bool same =
      local.crc == central.crc && local.size == central.size && local.packed == central.packed;
  const bool postponed = (central.flags & kHasDescriptor) != 0 && local.crc == 0 &&
                         local.size == 0 && local.packed == 0;
  if (local.version_needed != central.version_needed || local.flags != central.flags ||
      local.method != central.method || local.time != central.time || local.date != central.date ||
      local.name_bytes != central.name_bytes || !(same || postponed)) {
    refuse("E_ZIP_LOCAL", "the two headers of " + in_quotes(entry.name) + " disagree");
  }
  if (in.left() != std::size_t{local.name_bytes} + local.extra_bytes) {
    refuse("E_ZIP_LAYOUT",
           "the data of " + in_quotes(entry.name) + " are not where they should be");
  }
  const std::span<const std::byte> name = in.take(local.name_bytes);
  if (!std::equal(name.begin(), name.end(), std::as_bytes(std::span(entry.name)).begin())) {
    refuse("E_ZIP_LOCAL", "the two names of " + in_quotes(entry.name) + " differ");
  }
  check_local_zip64(entry, Extra(in.take(local.extra_bytes), entry.name));
}

void check_descriptor(const Entry& entry, std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  Fields in(bytes);
  const std::uint32_t mark = in.u32();
  const std::uint32_t crc = in.u32();
  const bool wide = bytes.size() == kDescriptor64Bytes;
  const std::uint64_t packed = wide ? in.u64() : in.u32();
  const std::uint64_t size = wide ? in.u64() : in.u32();
  if (mark != kDescriptorMark || crc != entry.common.crc || packed != entry.size ||
      size != entry.size) {
    refuse("E_ZIP_DESCRIPTOR", "what follows the data of " + in_quotes(entry.name) + " is damaged");
  }
}

// Records follow each other without overlap or hole, so each header's length follows from its
// neighbours' places; a descriptor and the next header are read at once.
std::vector<ZipRecord> read_layout(const ByteSource& source, const std::vector<Entry>& entries,
                                   std::uint64_t directory_offset) {
  constexpr std::uint64_t kMostExtra = std::numeric_limits<std::uint16_t>::max();
  std::vector<ZipRecord> records;
  records.reserve(entries.size());
  std::vector<std::byte> between;
  std::uint64_t data_end = 0;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const Entry& entry = entries[i];
    const std::size_t before = i > 0 ? entries[i - 1].descriptor_bytes() : 0;
    const std::uint64_t next = i + 1 < entries.size() ? entries[i + 1].offset : directory_offset;
    const std::uint64_t tail = entry.descriptor_bytes();
    if (entry.offset != data_end + before || next <= entry.offset || next > directory_offset ||
        entry.size > next ||
        next - entry.offset < kLocalBytes + entry.name.size() + entry.size + tail) {
      refuse("E_ZIP_LAYOUT",
             in_quotes(entry.name) + " overlaps its neighbours or leaves a hole before it");
    }
    const std::uint64_t begin = next - tail - entry.size;
    if (begin - entry.offset > kLocalBytes + entry.name.size() + kMostExtra) {
      refuse("E_ZIP_LAYOUT", "a hole follows the header of " + in_quotes(entry.name));
    }
    between.resize(static_cast<std::size_t>(begin - data_end));
    source.read_at(data_end, between);
    if (i > 0) check_descriptor(entries[i - 1], std::span(between).first(before));
    check_local(entry, std::span(between).subspan(before));
    records.push_back({entry.name, begin, entry.size, entry.common.crc});
    data_end = begin + entry.size;
  }
  const std::size_t last = entries.empty() ? 0 : entries.back().descriptor_bytes();
  between.resize(last);
  source.read_at(data_end, between);
  if (last > 0) check_descriptor(entries.back(), between);
  if (data_end + last != directory_offset) {
    refuse("E_ZIP_LAYOUT", "a hole lies before the table of contents");
  }
  return records;
}

}  // namespace

ZipDirectory read_zip_directory(const ByteSource& source, const ZipLimits& limits) {
  const End end = zip::read_end(source, limits);
  ZipDirectory directory;
  directory.records = read_layout(source, read_entries(source, end), end.offset);
  for (ZipRecord& record : directory.records) {
    const std::size_t slash = record.name.find('/');
    const std::string folder = record.name.substr(0, slash);
    if (&record == &directory.records.front()) directory.folder = folder;
    if (slash == 0 || slash == std::string::npos || folder != directory.folder) {
      refuse("E_ZIP_FOLDER", "record " + in_quotes(record.name) + " is not in the archive's folder",
             kResave);
    }
    record.name.erase(0, slash + 1);
  }
  return directory;
}

}  // namespace ldm
