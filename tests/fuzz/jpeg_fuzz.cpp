// Any bytes as a JPEG: the walk over its segments and scans, EXIF, and the decoder behind them.
#include <cstdint>

#include "tests/fuzz/picture_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ldm::fuzz::decode_picture(std::as_bytes(std::span(data, size)));
  return 0;
}
