#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "ldm/io/output_folder.h"

namespace ldm {

/// Keeps processes that write into one folder apart, with locks that vanish with their process
/// (open file description locks on ".ldm-lock", so also over NFS).
class FolderLock {
 public:
  /// For one process alone. Error::locked naming the process that has the folder; `hint` says what
  /// to do then, where it is not the hint of a batch.
  static FolderLock alone(const OutputFolder& folder, const std::string& hint = {});
  /// For one process as shard `index` of `count`, beside the other shards. Error::locked when that
  /// shard runs already or one process has the folder alone.
  static FolderLock shard(const OutputFolder& folder, std::int64_t index, std::int64_t count);
  /// For any number of processes that `claim` their work piece by piece.
  static FolderLock shared(const OutputFolder& folder);

  FolderLock(FolderLock&&) noexcept;
  /// The last process removes the lock file.
  ~FolderLock();

  /// Takes piece of work `number` for this process; false when another one has it now. Whoever
  /// comes later finds the results instead.
  bool claim(std::int64_t number);
  /// Gives the piece back, done or not.
  void release(std::int64_t number);

 private:
  struct State;
  explicit FolderLock(std::unique_ptr<State> state);
  static std::unique_ptr<State> open(const OutputFolder& folder, const std::string& hint = {});

  std::unique_ptr<State> state_;
};

}  // namespace ldm
