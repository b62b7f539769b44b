#pragma once

#include <cstdio>
#include <string>
#include <string_view>

namespace ldm::test {

/// Writes a ustar archive header by header. Tests change the bytes afterwards, and seal them again.
class TarBytes {
 public:
  /// Appends an entry of `type` ('0': a file).
  void add(std::string_view name, std::string_view data, char type = '0') {
    std::string header(512, '\0');
    put(header, 0, name);
    put(header, 100, "0000644");
    put(header, 108, "0000000");
    put(header, 116, "0000000");
    put(header, 124, octal(data.size(), 11));
    put(header, 136, "00000000000");
    header[156] = type;
    put(header, 257, std::string_view("ustar\00000", 8));
    last_ = bytes_.size();
    bytes_ += header;
    seal();
    bytes_ += data;
    bytes_.resize((bytes_.size() + 511) / 512 * 512, '\0');
  }

  /// Appends a pax header with one record, for the next entry.
  void add_pax(std::string_view key, std::string_view value, char type = 'x') {
    std::string record = " " + std::string(key) + "=" + std::string(value) + "\n";
    std::size_t length = record.size() + 1;
    while (std::to_string(length).size() + record.size() != length) ++length;
    add("PaxHeader", std::to_string(length) + record, type);
  }

  /// Overwrites bytes of the last header and makes its checksum right again.
  void change(std::size_t at, std::string_view bytes) {
    put(bytes_, last_ + at, bytes);
    seal();
  }

  std::string end(std::size_t zero_blocks = 2) const {
    return bytes_ + std::string(512 * zero_blocks, '\0');
  }

 private:
  static void put(std::string& text, std::size_t at, std::string_view part) {
    text.replace(at, part.size(), part);
  }
  static std::string octal(std::size_t value, int digits) {
    char text[32];
    std::snprintf(text, sizeof text, "%0*zo", digits, value);
    return text;
  }
  void seal() {
    put(bytes_, last_ + 148, "        ");
    std::size_t sum = 0;
    for (std::size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(bytes_[last_ + i]);
    put(bytes_, last_ + 148, octal(sum, 6) + std::string("\0 ", 2));
  }

  std::string bytes_;
  std::size_t last_ = 0;
};

}  // namespace ldm::test
