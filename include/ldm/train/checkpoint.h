#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "ldm/train/tensor_map.h"

namespace ldm::train {

/// Where a run stands, as its checkpoint says.
struct RunState {
  std::int64_t step = 0;            ///< optimizer steps done
  std::int64_t skipped = 0;         ///< of these, without an update: something was not finite
  std::int64_t skipped_in_row = 0;  ///< at the end
  nlohmann::json config = {};       ///< the run's whole file

  template <class V>
  void visit(V&& v) {
    v("step", step);
    v("skipped", skipped);
    v("skipped_in_row", skipped_in_row);
  }
};

/// The checkpoints of one run: folders `step-00001000` below `folder`, each with
/// `state.safetensors` (weights, optimizer, averages; with digests), the exported `model` and,
/// written last, `state.json`. A checkpoint appears whole or not at all, and older ones go only
/// after it is there.
class Checkpoints {
 public:
  Checkpoints(std::filesystem::path folder, std::int64_t keep);

  /// Writes one; `export_model` gets the folder to write the model into. Error::output: the older
  /// checkpoints stay, nothing else is left.
  std::filesystem::path save(const RunState& state, const TensorMap& tensors,
                             const std::function<void(const std::filesystem::path&)>& export_model);

  /// The folder of the latest whole checkpoint, none where there is none.
  std::optional<std::filesystem::path> latest() const;

  /// Its state; Error::model for a damaged one.
  static RunState read_state(const std::filesystem::path& checkpoint);
  /// Its tensors, digests checked.
  static TensorMap read_state_tensors(const std::filesystem::path& checkpoint);

 private:
  std::vector<std::filesystem::path> list() const;

  std::filesystem::path folder_;
  std::int64_t keep_;
};

}  // namespace ldm::train
