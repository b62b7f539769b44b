#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace ldm::app {

/// A process' part of a batch: every picture whose number leaves `index` when divided by `count`.
struct Shard {
  std::int64_t index = 0;
  std::int64_t count = 1;
  std::optional<int> local_rank;  ///< number of the process on its machine: which GPU is its

  bool holds(std::int64_t picture) const { return picture % count == index; }
};

/// Reads --shard: "I/N" with 0 <= I < N, or "auto" for what a launcher says: RANK/WORLD_SIZE
/// (torchrun), SLURM_PROCID/SLURM_NTASKS, SLURM_ARRAY_TASK_ID/SLURM_ARRAY_TASK_COUNT, or both of
/// SLURM's. Throws Error::usage.
Shard read_shard(const std::string& text);

/// Reads --time-limit, "3h50m", "45m", "90s" or seconds. Throws Error::usage.
double read_time_limit(const std::string& text);

}  // namespace ldm::app
