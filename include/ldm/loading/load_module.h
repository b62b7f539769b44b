#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <string>
#include <vector>

#include "ldm/core/execution.h"
#include "ldm/io/key_map.h"
#include "ldm/io/tensor_source.h"
#include "ldm/loading/weight_updates.h"

namespace ldm {

/// The libtorch element type of a safetensors one; Error::model where it cannot be loaded.
at::ScalarType scalar_type(DType dtype);

/// Which tensor of which file fills which parameter of a module, with everything that does not fit.
struct WeightBinding {
  struct Entry {
    std::string key;       ///< the parameter's name in the module
    std::string file_key;  ///< the tensor's name in the file
    at::Tensor parameter;
  };
  std::vector<Entry> entries;
  std::vector<std::string> missing;     ///< "key [shape]"
  std::vector<std::string> unexpected;  ///< "file key DTYPE [shape]"
  std::vector<std::string> mis_shaped;  ///< "key: expected […], found […]"

  bool complete() const { return missing.empty() && unexpected.empty() && mis_shaped.empty(); }
  /// The problems in words: counts and the first names of each kind; empty if there are none.
  std::string problems(const std::string& component) const;
};

/// Matches a module's parameters against files' tensors by name and shape; reads no weights.
WeightBinding bind_weights(const torch::nn::Module& module, const TensorSource& files,
                           const KeyMap& map);

/// Reads every bound tensor, checks it for NaN and Inf and against the SHA-256 that the file's
/// metadata gives for it (`kTensorHashPrefix`), adds the `updates` of it in fp32, converts it to
/// the execution's dtype, device and (4-D) memory format and makes it the parameter's data. Returns
/// whether every tensor had such a digest. Error::model naming file and tensor for non-finite
/// values, E_SUM_MISMATCH, or files that changed meanwhile.
bool load_weights(const TensorSource& files, const WeightBinding& binding,
                  const Execution& execution, const WeightUpdates& updates = {});

/// Lets a module's weights go: its parameters become placeholders again.
void unload_weights(torch::nn::Module& module);

}  // namespace ldm
