#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "ldm/io/dtype.h"
#include "ldm/io/pickle.h"

namespace ldm {

/// One tensor of a checkpoint's pickle: a view of a storage, which it is known to lie in.
struct TorchTensor {
  std::string name;
  DType dtype = DType::F32;
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> strides;  ///< elements, as many as `sizes`
  std::int64_t offset = 0;            ///< elements
  std::string storage;                ///< the record is "data/STORAGE"
  std::int64_t storage_numel = 0;     ///< elements
};

/// A storage that a checkpoint's pickle names, whether a tensor lies in it or not.
struct TorchStorage {
  std::string key;
  DType dtype = DType::F32;
  std::int64_t numel = 0;
};

struct TorchStateDict {
  std::vector<TorchTensor> tensors;    ///< sorted by name
  std::vector<TorchStorage> storages;  ///< in the pickle's order
  std::size_t pickle_bytes = 0;        ///< its end included
  std::map<std::string, std::int64_t, std::less<>> integers;
};

/// The tensors that data.pkl describes: of the dict "state_dict" where the root has one, else of
/// the root; names of nested dicts are joined with '.'. `integers` are those of the root
/// ("global_step") and of the state dict. Lists, and keys that are neither text nor integer, are
/// passed over. Errors are those of parse_pickle, E_CKPT_ROOT (no dict), E_CKPT_DUP (a key or name
/// twice) and E_CKPT_LIMIT (nested deeper than 64, which endless nesting is too, or more than a
/// million entries).
TorchStateDict read_torch_state_dict(std::span<const std::byte> pickle,
                                     const PickleLimits& limits = {});

}  // namespace ldm
