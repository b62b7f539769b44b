// Any bytes as the data.pkl of a whole checkpoint with four storages, and every tensor of it read
// in two parts. The zip around it is made right first, or no mutation would get past the CRCs.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/io/torch_checkpoint.h"
#include "tests/io/zip_bytes.h"

static void read_in_parts(const ldm::TorchCheckpoint& checkpoint, const std::string& name) {
  constexpr std::uint64_t kMost = 4096;
  const std::uint64_t bytes = checkpoint.find(name)->byte_size();
  std::vector<std::byte> whole(static_cast<std::size_t>(std::min(bytes, kMost)));
  checkpoint.read_part(name, 0, whole);
  std::vector<std::byte> part(whole.size() / 2);
  checkpoint.read_part(name, whole.size() - part.size(), part);
  if (!std::equal(part.rbegin(), part.rend(), whole.rbegin())) std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view pickle(reinterpret_cast<const char*>(data), size);
  static const std::vector<std::string> storages = {std::string(48, 'a'), std::string(10, 'b'), "",
                                                    std::string(64, 'c')};
  const std::string file = ldm::test::checkpoint_bytes(pickle, storages);
  try {
    const ldm::TorchCheckpoint checkpoint(std::as_bytes(std::span(file)), "f");
    for (const std::string& name : checkpoint.names()) read_in_parts(checkpoint, name);
    checkpoint.check_all();
  } catch (const ldm::Error& error) {
    if (error.rule().empty() || error.exit_code() != 4) std::abort();
  }
  return 0;
}
