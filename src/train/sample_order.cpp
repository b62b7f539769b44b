#include "ldm/train/sample_order.h"

#include <bit>

#include "ldm/core/error.h"
#include "ldm/train/draws.h"

namespace ldm::train {
namespace {

constexpr unsigned kRounds = 6;

}  // namespace

SampleOrder::SampleOrder(std::int64_t size, std::uint64_t seed, bool shuffle)
    : size_(size), seed_(seed), shuffle_(shuffle) {
  if (size < 1) throw Error::internal("an order of no samples");
  half_bits_ =
      (static_cast<unsigned>(std::bit_width(static_cast<std::uint64_t>(size - 1))) + 1) / 2;
}

std::int64_t SampleOrder::index_at(std::int64_t position) const {
  if (position < 0) throw Error::internal("a sample before the first");
  const auto size = static_cast<std::uint64_t>(size_);
  std::uint64_t x = static_cast<std::uint64_t>(position) % size;
  if (!shuffle_ || half_bits_ == 0) return static_cast<std::int64_t>(x);
  const std::uint64_t key =
      draw_key(seed_, "order", static_cast<std::uint64_t>(epoch_of(position)));
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  // The network permutes a power of four; numbers beyond the size walk on along their cycle until
  // one falls inside, which permutes those inside among themselves.
  do {
    std::uint64_t left = x >> half_bits_;
    std::uint64_t right = x & mask;
    for (unsigned round = 0; round < kRounds; ++round) {
      const std::uint64_t mixed = left ^ (draw_key(key + round, "", right) & mask);
      left = right;
      right = mixed;
    }
    x = left << half_bits_ | right;
  } while (x >= size);
  return static_cast<std::int64_t>(x);
}

}  // namespace ldm::train
