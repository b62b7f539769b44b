// Any bytes as a safetensors file: only ldm::Error may come out, and what is accepted must be sane.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "ldm/core/error.h"
#include "ldm/io/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    const ldm::SafetensorsHeader header = ldm::parse_safetensors_header(bytes, size, "f");
    std::uint64_t end = 0;
    for (const ldm::TensorInfo& tensor : header.tensors) {
      if (tensor.begin != end || tensor.end < tensor.begin) std::abort();
      end = tensor.end;
    }
    if (header.data_offset + end != size) std::abort();
  } catch (const ldm::Error& error) {
    if (error.rule().empty() || error.exit_code() != 4) std::abort();
  }
  return 0;
}
