#include "ldm/io/npy.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"

namespace ldm {
namespace {

constexpr std::uint64_t kMostBytes = 65536;
constexpr std::string_view kMagic = "\x93NUMPY";

struct Header {
  std::size_t item_bytes = 0;
  bool has_descr = false;
  bool has_order = false;
  bool has_shape = false;
};

[[noreturn]] void refuse(const std::string& what) {
  throw Error::input(cat("no .npy file of one number: ", what),
                     "write it as numpy.save(path, numpy.float32([x]))");
}

/// Reads the header's Python dict of three known keys; no other expression is understood.
class HeaderReader {
 public:
  explicit HeaderReader(std::string_view text) : text_(text) {}

  Header read() {
    Header header;
    expect("{");
    while (!accept("}")) {
      read_entry(header);
      if (!accept(",")) {
        expect("}");
        break;
      }
    }
    skip_spaces();
    if (!text_.empty()) refuse("text after the header's dict");
    if (!header.has_descr || !header.has_order || !header.has_shape) refuse("an incomplete header");
    return header;
  }

 private:
  void read_entry(Header& header) {
    if (accept("'descr'")) {
      once(header.has_descr);
      if (accept("'<f4'")) {
        header.item_bytes = 4;
      } else if (accept("'<f8'")) {
        header.item_bytes = 8;
      } else {
        refuse("its type is neither float32 nor float64, little-endian");
      }
    } else if (accept("'fortran_order'")) {
      once(header.has_order);
      if (!accept("False") && !accept("True")) refuse("a bad fortran_order");
    } else if (accept("'shape'")) {
      once(header.has_shape);
      read_shape();
    } else {
      refuse("an unknown header key");
    }
  }

  void once(bool& seen) {
    if (seen) refuse("a header key twice");
    seen = true;
    expect(":");
  }

  void read_shape() {
    expect("(");
    while (!accept(")")) {
      if (!accept("1")) refuse("its shape has more or less than one element");
      if (accept(",")) continue;
      expect(")");
      break;
    }
  }

  void skip_spaces() {
    while (!text_.empty() && (text_[0] == ' ' || text_[0] == '\n')) text_.remove_prefix(1);
  }
  bool accept(std::string_view token) {
    skip_spaces();
    if (!text_.starts_with(token)) return false;
    text_.remove_prefix(token.size());
    return true;
  }
  void expect(std::string_view token) {
    if (!accept(token)) refuse(cat("a header without \"", token, "\" where it belongs"));
  }

  std::string_view text_;
};

std::size_t byte_at(std::string_view text, std::size_t at) {
  return static_cast<unsigned char>(text[at]);
}

double parse(std::string_view text) {
  constexpr std::size_t kLengthAt = 8;
  if (!text.starts_with(kMagic) || text.size() < kLengthAt + 4) refuse("no NumPy signature");
  const std::size_t version = byte_at(text, kMagic.size());
  if (version < 1 || version > 3 || byte_at(text, kMagic.size() + 1) != 0) {
    refuse("an unknown format version");
  }
  const std::size_t width = version == 1 ? 2 : 4;
  std::size_t length = 0;
  for (std::size_t i = width; i-- > 0;) length = length * 256 + byte_at(text, kLengthAt + i);
  const std::string_view rest = text.substr(kLengthAt + width);
  if (length > rest.size()) refuse("it ends within its header");
  const Header header = HeaderReader(rest.substr(0, length)).read();
  const std::string_view data = rest.substr(length);
  if (data.size() != header.item_bytes) {
    refuse(cat("it has ", data.size(), " bytes of numbers, one needs ", header.item_bytes));
  }
  double number = 0;
  if (header.item_bytes == sizeof(float)) {
    float single = 0;
    std::memcpy(&single, data.data(), sizeof single);
    number = static_cast<double>(single);
  } else {
    std::memcpy(&number, data.data(), sizeof number);
  }
  if (!std::isfinite(number)) refuse("the number is NaN or Inf");
  return number;
}

}  // namespace

double read_npy_scalar(std::span<const std::byte> bytes, const std::string& name) {
  try {
    return parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  } catch (Error& error) {
    error.with_context(name);
    throw;
  }
}

double load_npy_scalar(const std::filesystem::path& path) {
  std::string bytes;
  try {
    bytes = read_small_file(path, kMostBytes);
  } catch (Error& error) {
    error.with_code(ErrorCode::kInput);
    throw;
  }
  return read_npy_scalar(std::as_bytes(std::span(bytes.data(), bytes.size())), path.string());
}

}  // namespace ldm
