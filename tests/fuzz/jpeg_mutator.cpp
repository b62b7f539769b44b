// libFuzzer's own mutations; then most frames get a small size, or their decoding takes all the
// time.
#include <cstddef>
#include <cstdint>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, most);
  constexpr unsigned kOneIn = 64;
  if (seed % kOneIn == 0) return size;
  for (std::size_t i = 0; i + 9 <= size; ++i) {
    if (data[i] != 0xFF || data[i + 1] < 0xC0 || data[i + 1] > 0xC2) continue;
    // FF Cn, length, bits a sample, height, width
    data[i + 5] = 0;
    data[i + 6] %= 40;
    data[i + 7] = 0;
    data[i + 8] %= 40;
  }
  return size;
}
