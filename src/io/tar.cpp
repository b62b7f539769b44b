#include "ldm/io/tar.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"

namespace ldm {
namespace {

constexpr std::size_t kBlock = 512;
constexpr const char* kAgain = "download, copy or pack the archive again";

using Block = std::array<char, kBlock>;

[[noreturn]] void refuse(const char* rule, const std::string& text, const char* hint = kAgain) {
  throw Error::model_rule(rule, text, hint);
}

// The fields of a header that matter here, by their offsets.
std::string_view field(const Block& block, std::size_t begin, std::size_t bytes) {
  return {block.data() + begin, bytes};
}
std::string_view text_field(const Block& block, std::size_t begin, std::size_t bytes) {
  const std::string_view all = field(block, begin, bytes);
  return all.substr(0, all.find('\0'));
}
constexpr std::size_t kSizeAt = 124;
constexpr std::size_t kChecksumAt = 148;
constexpr std::size_t kChecksumBytes = 8;
constexpr std::size_t kTypeAt = 156;

bool is_zero(const Block& block) {
  return std::all_of(block.begin(), block.end(), [](char c) { return c == '\0'; });
}

std::uint64_t read_base_256(std::string_view digits, std::uint64_t at) {
  std::uint64_t value = static_cast<unsigned char>(digits[0]) & 0x7fU;
  for (const char digit : digits.substr(1)) {
    if (value >> 55U != 0) refuse("E_TAR_NUMBER", cat("a number beyond 63 bits at byte ", at));
    value = value << 8U | static_cast<unsigned char>(digit);
  }
  return value;
}

/// Octal digits between optional spaces and the spaces or NULs that end the field; or GNU's binary
/// form, marked by the highest bit.
std::uint64_t read_number(std::string_view digits, std::uint64_t at) {
  if ((static_cast<unsigned char>(digits[0]) & 0x80U) != 0) return read_base_256(digits, at);
  digits.remove_prefix(std::min(digits.find_first_not_of(' '), digits.size()));
  const std::size_t end = std::min(digits.find_first_of(std::string_view(" \0", 2)), digits.size());
  std::uint64_t value = 0;
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + end, value, 8);
  const bool is_empty = end == 0;
  if ((error != std::errc() && !is_empty) || stop != digits.data() + end ||
      digits.find_first_not_of(std::string_view(" \0", 2), end) != std::string_view::npos) {
    refuse("E_TAR_NUMBER", cat("no octal number at byte ", at));
  }
  return value;
}

void check_checksum(const Block& block, std::uint64_t at) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < kBlock; ++i) {
    const bool own = i >= kChecksumAt && i < kChecksumAt + kChecksumBytes;
    sum += own ? static_cast<unsigned char>(' ') : static_cast<unsigned char>(block[i]);
  }
  if (sum == read_number(field(block, kChecksumAt, kChecksumBytes), at + kChecksumAt)) return;
  refuse("E_TAR_CHECKSUM", at == 0 ? std::string("this is no tar archive")
                                   : cat("the header at byte ", at, " is damaged"));
}

std::string name_of(const Block& block) {
  const std::string_view name = text_field(block, 0, 100);
  // Only POSIX's own form, which has a NUL after the mark, has a prefix.
  const bool is_posix = field(block, 257, 6) == std::string_view("ustar\0", 6);
  const std::string_view prefix = is_posix ? text_field(block, 345, 155) : std::string_view();
  return prefix.empty() ? std::string(name) : cat(prefix, "/", name);
}

/// What a pax or long-name header says of the file after it.
struct Extended {
  std::optional<std::string> path;
  std::optional<std::uint64_t> size;
  bool pending = false;
};

void take_pax_field(std::string_view key, std::string_view value, bool is_global, Extended& out) {
  if (key.starts_with("GNU.sparse.")) {
    refuse("E_TAR_TYPE", "sparse files cannot be read", "pack the archive without --sparse");
  }
  if (key != "path" && key != "size") return;
  if (is_global) refuse("E_TAR_PAX", cat("\"", key, "\" cannot hold for all files"));
  if (key == "path") {
    out.path = std::string(value);
    return;
  }
  std::uint64_t size = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), size);
  if (error != std::errc() || end != value.data() + value.size()) {
    refuse("E_TAR_PAX", cat("\"", escape_control(value), "\" is no size"));
  }
  out.size = size;
}

/// Records "LENGTH KEY=VALUE\n", where LENGTH counts all of it.
void read_pax(std::string_view text, bool is_global, Extended& out) {
  while (!text.empty()) {
    std::size_t length = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
    const auto digits = static_cast<std::size_t>(end - text.data());
    if (error != std::errc() || length > text.size() || length < digits + 3 ||
        text[digits] != ' ' || text[length - 1] != '\n') {
      refuse("E_TAR_PAX", "a pax record is damaged");
    }
    const std::string_view record = text.substr(digits + 1, length - digits - 2);
    const std::size_t equals = record.find('=');
    if (equals == 0 || equals == std::string_view::npos) {
      refuse("E_TAR_PAX", "a pax record has no key");
    }
    take_pax_field(record.substr(0, equals), record.substr(equals + 1), is_global, out);
    text.remove_prefix(length);
  }
}

class Reader {
 public:
  Reader(const ByteSource& source, const TarLimits& limits) : source_(source), limits_(limits) {}

  std::vector<TarEntry> read() {
    while (true) {
      const Block block = read_block();
      if (is_zero(block)) break;
      read_header(block);
    }
    if (next_.pending) refuse("E_TAR_PAX", "the last header describes no file");
    read_end();
    return std::move(entries_);
  }

 private:
  Block read_block() {
    if (source_.size() == at_) {
      refuse("E_TAR_END", cat("no end mark after ", at_, " bytes: the archive is incomplete"));
    }
    if (source_.size() - at_ < kBlock) {
      refuse("E_TAR_SHORT", cat("the archive ends within the header at byte ", at_));
    }
    Block block;
    source_.read_at(at_, std::as_writable_bytes(std::span(block)));
    at_ += kBlock;
    return block;
  }

  void read_header(const Block& block) {
    const std::uint64_t header = at_ - kBlock;
    check_checksum(block, header);
    const char type = block[kTypeAt];
    const std::uint64_t size = read_number(field(block, kSizeAt, 12), header + kSizeAt);
    switch (type) {
      case 'x':
      case 'g':
        read_pax(extended_text(size), type == 'g', next_);
        next_.pending |= type == 'x';
        return;
      case 'L': {
        const std::string text = extended_text(size);
        next_.path = text.substr(0, text.find('\0'));
        next_.pending = true;
        return;
      }
      default:
        add_entry(block, type, size);
    }
  }

  void add_entry(const Block& block, char type, std::uint64_t size) {
    const Extended extended = std::exchange(next_, {});
    std::string name = extended.path ? *extended.path : name_of(block);
    if (name.empty() || name.size() > limits_.max_name_bytes ||
        name.find('\0') != std::string::npos || find_invalid_utf8(name) != std::string::npos) {
      refuse("E_TAR_NAME", cat("the name in the header at byte ", at_ - kBlock,
                               " is empty, too long or not UTF-8"));
    }
    if (type == '5' || (type == '\0' && name.back() == '/')) return;
    if (type != '0' && type != '\0' && type != '7') {
      refuse("E_TAR_TYPE", cat("\"", name, "\" is a link, a device or of an unknown kind"),
             "pack plain files: tar --dereference --hard-dereference");
    }
    if (entries_.size() == limits_.max_entries) {
      refuse("E_TAR_LIMIT", cat("more than ", limits_.max_entries, " files"), "cut it into shards");
    }
    const std::uint64_t bytes = extended.size.value_or(size);
    entries_.push_back({std::move(name), at_, bytes});
    skip(bytes);
  }

  std::string extended_text(std::uint64_t size) {
    if (size > limits_.max_extended_bytes) {
      refuse("E_TAR_LIMIT", cat(size, " bytes of extended header at byte ", at_));
    }
    const std::uint64_t begin = at_;
    skip(size);
    std::string text(static_cast<std::size_t>(size), '\0');
    source_.read_at(begin, std::as_writable_bytes(std::span(text.data(), text.size())));
    return text;
  }

  // Past data of that size and the zeros that fill its last block.
  void skip(std::uint64_t bytes) {
    const std::uint64_t left = source_.size() - at_;
    const std::uint64_t padding = (kBlock - bytes % kBlock) % kBlock;
    if (bytes > left || padding > left - bytes) {
      refuse("E_TAR_SHORT",
             cat("the archive ends within the ", bytes, " bytes of data at byte ", at_));
    }
    at_ += bytes + padding;
  }

  void read_end() {
    if (!is_zero(read_block())) {
      refuse("E_TAR_TRAILING", cat("data after the end mark at byte ", at_ - kBlock),
             "join archives with tar --concatenate");
    }
    std::vector<char> rest(std::size_t{64} << 10U);
    while (at_ < source_.size()) {
      rest.resize(
          static_cast<std::size_t>(std::min<std::uint64_t>(rest.size(), source_.size() - at_)));
      source_.read_at(at_, std::as_writable_bytes(std::span(rest)));
      if (std::any_of(rest.begin(), rest.end(), [](char c) { return c != '\0'; })) {
        refuse("E_TAR_TRAILING", cat("data after the end mark, from byte ", at_),
               "join archives with tar --concatenate");
      }
      at_ += rest.size();
    }
  }

  ByteSource source_;
  TarLimits limits_;
  std::uint64_t at_ = 0;
  Extended next_;
  std::vector<TarEntry> entries_;
};

}  // namespace

std::vector<TarEntry> read_tar_entries(const ByteSource& source, const TarLimits& limits) {
  return Reader(source, limits).read();
}

}  // namespace ldm
