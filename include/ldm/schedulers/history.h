#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <utility>
#include <vector>

namespace ldm {

/// Puts `newest` before what a multistep method remembers, and forgets what is then beyond `most`.
inline void remember(std::vector<at::Tensor>& history, at::Tensor newest, std::size_t most) {
  history.insert(history.begin(), std::move(newest));
  if (history.size() > most) history.pop_back();
}

}  // namespace ldm
