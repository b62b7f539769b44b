#pragma once

#include <string>

#include "tests/nn/reference_weights.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace ldm::test {

/// tests/golden/blocks.safetensors, read once.
inline const Golden& blocks_golden() {
  static const Golden golden("blocks");
  return golden;
}

/// Names and shapes as diffusers', then the reference weights.
template <class Holder>
Holder prepared(const std::string& name, Holder module) {
  INFO(listing(*module));
  CHECK(listing_hash(*module) == blocks_golden().metadata.at(name + ".listing"));
  fill_reference_weights(*module);
  return module;
}

/// Runs a prepared module and compares with the golden tensor of that name.
template <class Holder, class... Args>
void expect_golden(const std::string& name, Holder module, const Args&... args) {
  INFO(name);
  expect_close(prepared(name, std::move(module))->forward(args...), blocks_golden().at(name), 1e-5,
               name);
}

}  // namespace ldm::test
