#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace ldm {

/// A config field that a file writes either as one value, meant for every level of a model, or as a
/// list with one value a level. `is_list` tells which it was; a single value stands in `values[0]`.
template <class T>
struct ValueOrList {
  using value_type = T;

  ValueOrList() = default;
  ValueOrList(T value) : values{value} {}
  ValueOrList(std::vector<T> list) : values(std::move(list)), is_list(true) {}

  /// The value of level `i`; throws std::out_of_range beyond the list.
  T at(std::size_t i) const { return values.at(is_list ? i : 0); }
  /// Whether it gives a value to each of `levels` levels and no more.
  bool fits(std::size_t levels) const { return values.size() == (is_list ? levels : 1); }

  std::vector<T> values;
  bool is_list = false;
};

using IntOrList = ValueOrList<std::int64_t>;
using BoolOrList = ValueOrList<bool>;

}  // namespace ldm
