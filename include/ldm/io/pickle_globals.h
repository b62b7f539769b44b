#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "ldm/io/dtype.h"

namespace ldm {

/// What an allow-listed name of a pickle stands for.
enum class GlobalRole : std::uint8_t {
  kOrderedDict,
  kRebuildTensorV2,   ///< (storage, offset, size, stride, requires_grad, hooks[, metadata])
  kRebuildTensor,     ///< (storage, offset, size, stride)
  kRebuildParameter,  ///< (tensor, requires_grad, hooks)
  kStorageType,       ///< only inside a persistent id
  kOpaqueObject,      ///< what it would make is described as opaque
  kConstant,          ///< a value that nothing is made from
};

struct KnownGlobal {
  std::string_view module;
  std::string_view name;
  GlobalRole role;
  DType dtype = DType::F32;  ///< of a kStorageType
};

/// The whole allow-list: what checkpoints of the latent-diffusion family contain.
std::span<const KnownGlobal> known_globals();

/// The row of `module name` in known_globals(), or nothing.
std::optional<std::size_t> find_known_global(std::string_view module, std::string_view name);

/// The name of a pickle opcode ("STACK_GLOBAL"), or "0x7F" for a byte that is none.
std::string pickle_opcode_name(unsigned char code);

}  // namespace ldm
