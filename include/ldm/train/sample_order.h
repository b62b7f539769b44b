#pragma once

#include <cstdint>

namespace ldm::train {

/// Which example of a data set is used at each position 0, 1, 2, … of a run.
///
/// Every pass over the data is a permutation of its own, computed from the seed and the position
/// alone (a Feistel network with cycle walking, Black & Rogaway 2002), so that neither the number
/// of processes nor a resumed run changes the order, and nothing has to be stored.
class SampleOrder {
 public:
  /// `size` > 0 examples (Error::internal); without `shuffle` every pass is 0 … size - 1.
  SampleOrder(std::int64_t size, std::uint64_t seed, bool shuffle = true);

  /// The example at `position` >= 0, in [0, size).
  std::int64_t index_at(std::int64_t position) const;
  /// How many whole passes lie before `position`.
  std::int64_t epoch_of(std::int64_t position) const { return position / size_; }
  std::int64_t size() const { return size_; }

 private:
  std::int64_t size_;
  std::uint64_t seed_;
  bool shuffle_;
  unsigned half_bits_;  ///< of a number in the network's domain, the power of 4 that holds `size_`
};

}  // namespace ldm::train
