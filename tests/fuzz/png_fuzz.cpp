// Any bytes as a PNG: its pixels, its text, and the check that our own files get. png_mutator.cpp
// brings inputs behind the CRCs and the compression.
#include <cstdint>

#include "tests/fuzz/picture_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  ldm::fuzz::decode_picture(bytes);
  try {
    ldm::read_png_text(bytes, "f");
  } catch (const ldm::Error& error) {
    if (error.exit_code() != 3) std::abort();
  }
  try {
    ldm::verify_png(bytes, "f");
  } catch (const ldm::Error& error) {
    if (error.exit_code() != 5) std::abort();
  }
  return 0;
}
