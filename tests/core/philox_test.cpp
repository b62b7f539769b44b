#include "ldm/core/philox.h"

#include <array>
#include <vector>

#include "tests/support/catch.h"

namespace ldm {
namespace {

// The known answers of Random123 (kat_vectors, philox4x32-10).
TEST_CASE("Philox gives its authors' known answers") {
  using Words = std::array<std::uint32_t, 4>;
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}) ==
        Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

// torch.manual_seed(0); torch.randn(5, device="cuda")
TEST_CASE("its normal numbers are torch.randn's on a GPU") {
  std::vector<float> numbers(5);
  philox_normal(0, 0, numbers);
  const std::vector<double> published = {-0.9247, -0.4253, -2.6438, 0.1452, -0.1209};
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    CHECK(numbers[i] == Approx(published[i]).margin(6e-5));
  }
  std::vector<float> next(5);
  philox_normal(0, 1, next);
  CHECK(next != numbers);
}

}  // namespace
}  // namespace ldm
