#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "ldm/io/pickle_value.h"

namespace ldm {

struct PickleLimits {
  std::uint64_t max_operations = 20'000'000;
  std::size_t max_depth = 64;  ///< of open marks
  std::size_t max_memo = 4'000'000;
  std::size_t max_rank = 8;
  std::uint64_t max_tensor_bytes = std::uint64_t{1} << 40U;  ///< of one tensor, written out
  /// Describes objects of unknown names as opaque instead of refusing the file; never calls them.
  bool opaque_globals = false;
  /// Reads what torch before 1.6 and Python 2 wrote too: bytes after the pickle's end, a sixth part
  /// (None) of a storage's persistent id, OrderedDict made from pairs, None for a tensor's hooks, a
  /// memo that begins at one.
  bool before_torch_1_6 = false;
};

/// What a pickle holds. Views the pickle's bytes, which must outlive it.
struct Pickle {
  PickleArena arena;
  PickleValue root;
  std::size_t bytes = 0;  ///< of the pickle, its end included
};

/// Reads a protocol-2 pickle as torch.save writes it into descriptions. It is data, never a
/// program: no name is looked up, nothing is constructed or called, and the 33 opcodes and the
/// names of known_globals() are all there is. Everything else is Error::model_rule with the byte:
/// E_PKL_OPCODE, E_PKL_GLOBAL ("os system" at byte 154: this file asks to run code), E_PKL_PROTO,
/// E_PKL_TRUNC, E_PKL_TRAIL, E_PKL_STACK, E_PKL_TYPE, E_PKL_MEMO, E_PKL_CALL, E_PKL_STORAGE,
/// E_PKL_TENSOR (sizes, strides or offset beyond the storage), E_PKL_TEXT, E_PKL_INT, E_PKL_LIMIT.
/// Memory and time grow linearly with the pickle. Source: CPython's pickletools (protocol 2) and
/// torch 2.11 `torch/_weights_only_unpickler.py`.
Pickle parse_pickle(std::span<const std::byte> pickle, const PickleLimits& limits = {});

}  // namespace ldm
