#include "ldm/io/png.h"

#include "ldm/io/png_chunks.h"
#include "tests/io/errors.h"
#include "tests/io/safetensors_bytes.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm {
namespace {

using test::bytes_of;
using test::Contains;
using test::error_of;

Image pattern(int width, int height) {
  Image image{width, height, {}};
  for (int i = 0; i < width * height * 3; ++i) {
    image.rgb.push_back(static_cast<std::uint8_t>((i * 7 + i / 31) & 0xFF));
  }
  return image;
}

TEST_CASE("an encoded PNG decodes to the same pixels and encodes to the same bytes") {
  for (const auto& [width, height] : {std::pair{1, 1}, {64, 96}, {511, 3}}) {
    const Image image = pattern(width, height);
    const std::vector<std::byte> png = encode_png(image);
    verify_png(png);
    const Image again = decode_image(png, "x.png");
    CHECK(again.width == width);
    CHECK(again.height == height);
    CHECK(again.rgb == image.rgb);
    CHECK(encode_png(image) == png);
  }
}

TEST_CASE("PNG text survives, ASCII as tEXt and the rest as iTXt") {
  const std::vector<PngText> text = {{"parameters", "a cat\nSteps: 30, Seed: 1"},
                                     {"ldm-gen", "{\"prompt\":\"\xC3\xA9\xF0\x9F\x98\x80\"}"},
                                     {"empty", ""},
                                     {"long", std::string(100'000, 'x')}};
  const std::vector<std::byte> png = encode_png(pattern(4, 4), text);
  verify_png(png);
  const std::vector<PngText> read = read_png_text(png, "x.png");
  REQUIRE(read.size() == text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    CHECK(read[i].key == text[i].key);
    CHECK(read[i].value == text[i].value);
  }
  std::string types;
  for (const PngChunk& chunk : scan_png(png, "x").chunks) types += std::string(chunk.type) + " ";
  CHECK(types.starts_with("IHDR tEXt iTXt tEXt tEXt IDAT "));
}

TEST_CASE("text and pictures that PNG cannot hold are refused") {
  const auto refused = [](const PngText& text) {
    const auto error = error_of([&] { encode_png(pattern(1, 1), std::span(&text, 1)); });
    return error && error->code() == ErrorCode::kInput;
  };
  CHECK(refused({"", "x"}));
  CHECK(refused({std::string(80, 'k'), "x"}));
  CHECK(refused({" k", "x"}));
  CHECK(refused({"k\n", "x"}));
  CHECK(refused({"k", std::string("a\0b", 3)}));
  CHECK(refused({"k", "\xC3"}));
  CHECK_FALSE(refused({std::string(79, 'k'), "x"}));
  Image wrong = pattern(2, 2);
  wrong.rgb.pop_back();
  CHECK(error_of([&] { encode_png(wrong); })->code() == ErrorCode::kInternal);
  CHECK(error_of([] { encode_png(Image{}); })->code() == ErrorCode::kInternal);
}

TEST_CASE("verify finds every truncation, flipped bit and trailing byte") {
  const std::vector<PngText> text = {{"k", "v"}};
  const std::vector<std::byte> png = encode_png(pattern(3, 5), text);
  for (std::size_t size = 0; size < png.size(); ++size) {
    const auto error = error_of([&] { verify_png(std::span(png).first(size), "o.png"); });
    REQUIRE(error);
    REQUIRE(error->exit_code() == 5);
  }
  for (std::size_t bit = 0; bit < png.size() * 8; ++bit) {
    std::vector<std::byte> flipped = png;
    flipped[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    REQUIRE(error_of([&] { verify_png(flipped); }));
  }
  std::vector<std::byte> longer = png;
  longer.push_back(std::byte{0});
  CHECK_THAT(error_of([&] { verify_png(longer); })->message(), Contains("1 bytes after the end"));
}

TEST_CASE("text of other programs is read: Latin-1 and compressed") {
  // Written by Pillow with PngInfo.add_text / add_itxt, both plain and zip=True.
  const std::string png = test::slurp(test::test_file("io/data/text.png"));
  const std::vector<PngText> read = read_png_text(bytes_of(png), "text.png");
  REQUIRE(read.size() == 4);
  for (const PngText& entry : read) CHECK(entry.value == "caf\xC3\xA9 " + std::string(50, 'x'));
  CHECK(read[0].key == "plain");
  CHECK(read[3].key == "utf8-zip");
}

}  // namespace
}  // namespace ldm
