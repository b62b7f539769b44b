#include "ldm/io/image.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "ldm/io/exif.h"
#include "ldm/io/png.h"
#include "ldm/io/png_chunks.h"
#include "ldm/io/safetensors.h"
#include "tests/io/errors.h"
#include "tests/io/safetensors_bytes.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm {
namespace {

using test::bytes_of;
using test::Contains;
using test::error_of;
using test::test_file;

std::string data(const std::string& name) { return test::slurp(test_file("io/data/" + name)); }

// The message of the input error that decoding `bytes` gives, "none" when it gives none.
std::string message_for(std::string_view bytes) {
  const auto error = error_of([&] { decode_image(bytes_of(bytes), "in.img"); });
  if (!error) return "none";
  CHECK(error->exit_code() == 3);
  CHECK_THAT(error->message(), Contains("in.img"));
  return error->message();
}

TEST_CASE("pictures decode as Pillow decodes them") {
  const SafetensorsFile expected(test_file("io/data/expected.safetensors"));
  CHECK(expected.header().tensors.size() == 41);
  for (const TensorInfo& info : expected.header().tensors) {
    INFO(info.name);
    const Image image = load_image(test_file("io/data/" + info.name));
    REQUIRE(info.shape == std::vector<std::int64_t>{image.height, image.width, 3});
    std::vector<std::byte> pixels(info.byte_size());
    expected.read(info, pixels);
    int worst = 0;
    double sum = 0;
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      const int difference = std::abs(std::to_integer<int>(pixels[i]) - int{image.rgb[i]});
      worst = std::max(worst, difference);
      sum += difference;
    }
    // PNG is exact. JPEG decoders may round differently; at half horizontal colour resolution stb
    // also weighs the last column's two neighbours the other way round.
    const bool jpeg = info.name.ends_with(".jpg");
    CHECK(worst <= (info.name == "rgb_422.jpg" ? 8 : jpeg ? 2 : 0));
    CHECK(sum / static_cast<double>(pixels.size()) <= (jpeg ? 0.3 : 0.0));
  }
}

TEST_CASE("the eight orientations") {
  // 3 x 2: A B C / D E F, by the red value.
  const Image image{3, 2, {'A', 0, 0, 'B', 0, 0, 'C', 0, 0, 'D', 0, 0, 'E', 0, 0, 'F', 0, 0}};
  const std::vector<std::string> expected = {"ABCDEF", "CBAFED", "FEDCBA", "DEFABC",
                                             "ADBECF", "DAEBFC", "FCEBDA", "CFBEAD"};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const Image turned = apply_orientation(image, orientation);
    CHECK(turned.width == (orientation >= 5 ? 2 : 3));
    std::string reds;
    for (std::size_t i = 0; i < turned.rgb.size(); i += 3) {
      reds += static_cast<char>(turned.rgb[i]);
    }
    CHECK(reds == expected[static_cast<std::size_t>(orientation - 1)]);
  }
  CHECK(apply_orientation(image, 0).rgb == image.rgb);
  CHECK(apply_orientation(image, 9).rgb == image.rgb);
}

TEST_CASE("broken EXIF means no orientation") {
  using namespace std::string_view_literals;
  constexpr std::string_view kGood =
      "II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"sv;
  CHECK(exif_orientation(bytes_of(kGood)) == 6);
  for (std::size_t size = 0; size < 22; ++size) {
    CHECK(exif_orientation(bytes_of(kGood.substr(0, size))) == 1);
  }
  std::string bad(kGood);
  bad[18] = 9;
  CHECK(exif_orientation(bytes_of(bad)) == 1);
  bad = kGood;
  bad.replace(4, 4, 4, '\xFF');
  CHECK(exif_orientation(bytes_of(bad)) == 1);
}

TEST_CASE("every truncation of a PNG or JPEG is refused") {
  for (const char* name : {"rgb_exif_6.png", "palette_4.png", "rgb_420.jpg", "progressive.jpg"}) {
    const std::string bytes = data(name);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      const auto error = error_of([&] { decode_image(bytes_of(bytes).first(size), name); });
      INFO(name << " cut to " << size);
      REQUIRE(error);
      REQUIRE(error->code() == ErrorCode::kInput);
    }
  }
}

TEST_CASE("every flipped bit of a PNG is refused") {
  const std::string bytes = data("palette_4.png");
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    INFO("bit " << bit);
    REQUIRE(error_of([&] { decode_image(bytes_of(flipped), "x"); }));
  }
}

TEST_CASE("a flipped bit of a JPEG is refused or gives a picture, never worse") {
  for (const char* name : {"rgb_420.jpg", "progressive.jpg", "ycck.jpg"}) {
    const std::string bytes = data(name);
    int refused = 0;
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      std::string flipped = bytes;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
      const auto error = error_of([&] { decode_image(bytes_of(flipped), "x"); });
      if (error) {
        REQUIRE(error->code() == ErrorCode::kInput);
        ++refused;
      }
    }
    CHECK(refused > 100);
  }
}

TEST_CASE("files that a fuzzer once broke the decoder with are refused or decoded") {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(test_file("io/data/found"))) {
    const auto error = error_of([&] { load_image(entry.path()); });
    CHECK((!error || error->code() == ErrorCode::kInput));
    ++files;
  }
  CHECK(files >= 1);
}

// Chunk CRCs made right again after a change.
std::string with_chunk(std::string png, const std::string& type, std::size_t at,
                       const std::string& replacement) {
  const std::size_t start = png.find(type);
  png.replace(start + 4 + at, replacement.size(), replacement);
  std::uint32_t length = 0;
  for (std::size_t i = 4; i > 0; --i) {
    length = (length << 8U) | static_cast<unsigned char>(png[start - i]);
  }
  std::uint32_t crc = 0xFFFFFFFFU;
  for (std::size_t i = start; i < start + 4 + length; ++i) {
    crc ^= static_cast<unsigned char>(png[i]);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? 0xEDB88320U : 0U);
  }
  crc = ~crc;
  for (unsigned i = 0; i < 4; ++i) {
    png[start + 4 + length + i] = static_cast<char>((crc >> (24 - 8 * i)) & 0xFFU);
  }
  return png;
}

TEST_CASE("PNG structure is checked before the decoder sees it") {
  using namespace std::string_literals;
  const std::string rgb = data("type2_8.png");
  CHECK(message_for(with_chunk(rgb, "IHDR", 0, "\0\0\0\x0d"s)) == "none");
  CHECK_THAT(message_for(with_chunk(rgb, "IHDR", 0, "\0\0\0\0"s)), Contains("impossible header"));
  CHECK_THAT(message_for(with_chunk(rgb, "IHDR", 0, "\0\0\x27\x10\0\0\x27\x10"s)),
             Contains("at most 64 megapixels"));
  CHECK_THAT(message_for(with_chunk(rgb, "IHDR", 0, "\x7F\xFF\xFF\xFF\x7F\xFF\xFF\xFF"s)),
             Contains("at most 64 megapixels"));
  CHECK_THAT(message_for(with_chunk(rgb, "IHDR", 8, "\x04"s)), Contains("impossible header"));
  CHECK_THAT(message_for(with_chunk(rgb, "IHDR", 9, "\x05"s)), Contains("impossible header"));
  CHECK_THAT(message_for(with_chunk(rgb, "IHDR", 12, "\x02"s)), Contains("impossible header"));
  // A small file that says it is large, and one with more pixels than it says.
  CHECK_THAT(message_for(with_chunk(rgb, "IHDR", 0, "\0\0\x1F\x40\0\0\x1F\x40"s)),
             Contains("pixel data end after"));
  CHECK_THAT(message_for(with_chunk(rgb, "IHDR", 4, "\0\0\0\x08"s)), Contains("more pixel data"));
  const std::size_t palette = data("palette_8.png").find("PLTE");
  std::string none = data("palette_8.png");
  none = none.erase(palette - 4, 12 + 120);
  CHECK_THAT(message_for(none), Contains("no palette"));
  std::string trailing = rgb + "anything";
  CHECK(message_for(trailing) == "none");
}

TEST_CASE("JPEG structure is checked before the decoder sees it") {
  const std::string grey = data("grey.jpg");
  const auto replaced = [&](std::string_view marker, std::size_t at, std::string_view bytes) {
    std::string changed = grey;
    changed.replace(changed.find(marker) + at, bytes.size(), bytes);
    return message_for(changed);
  };
  using namespace std::string_view_literals;
  CHECK_THAT(replaced("\xFF\xC0"sv, 1, "\xC9"sv), Contains("arithmetic-coded"));
  CHECK_THAT(replaced("\xFF\xC0"sv, 4, "\x0C"sv), Contains("12 bits a sample"));
  CHECK_THAT(replaced("\xFF\xC0"sv, 5, "\0\0"sv), Contains("impossible frame"));
  CHECK_THAT(replaced("\xFF\xC0"sv, 5, "\xFF\xFF\xFF\xFF"sv), Contains("at most 64 megapixels"));
  CHECK_THAT(replaced("\xFF\xC0"sv, 5, "\x1F\x40\x1F\x40"sv), Contains("too few bytes"));
  CHECK_THAT(replaced("\xFF\xDB"sv, 1, "\xE5"sv), Contains("a quantisation table is missing"));
  CHECK_THAT(replaced("\xFF\xC4"sv, 1, "\xE5"sv), Contains("a Huffman table is missing"));
  CHECK_THAT(replaced("\xFF\xC0"sv, 1, "\xE5"sv), Contains("a scan before the frame"));
  CHECK_THAT(replaced("\xFF\xDA"sv, 1, "\xE5"sv), Contains("no marker"));
  std::string cmyk = data("cmyk.jpg");
  cmyk.replace(cmyk.find("Adobe"), 5, "Other");
  CHECK_THAT(message_for(cmyk), Contains("without an Adobe marker"));
  CHECK(message_for(grey + "after the end") == "none");
}

TEST_CASE("other formats and unreadable files are input errors") {
  CHECK_THAT(message_for(""), Contains("an empty file"));
  CHECK_THAT(message_for("GIF89a........"),
             Contains("only PNG and JPEG can be read, this is a GIF"));
  CHECK_THAT(message_for("RIFF....WEBPVP8 "), Contains("a WebP"));
  CHECK_THAT(message_for("BM........"), Contains("a BMP"));
  CHECK_THAT(message_for("#?RADIANCE\n"), Contains("neither"));
  CHECK_THAT(message_for("<html>"), Contains("a web page"));
  const test::TempDir folder;
  for (const auto& path : {folder / "none.png", folder.path()}) {
    const auto error = error_of([&] { load_image(path); });
    REQUIRE(error);
    CHECK(error->code() == ErrorCode::kInput);
  }
  const auto large = folder.write("large.png", "x");
  std::filesystem::resize_file(large, kMaxImageBytes + 1);
  CHECK_THAT(error_of([&] { load_image(large); })->message(), Contains("more than the"));
}

}  // namespace
}  // namespace ldm
