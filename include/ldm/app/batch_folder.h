#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "ldm/app/batch_tasks.h"
#include "ldm/app/events.h"
#include "ldm/app/journal.h"
#include "ldm/app/shard.h"
#include "ldm/io/folder_lock.h"
#include "ldm/io/image.h"
#include "ldm/io/output_folder.h"

namespace ldm::app {

/// The folder of a batch: its pictures, its journals, and who may write to it.
class BatchFolder {
 public:
  /// Opens and locks it, and clears away what dead writers left. Errors of OutputFolder and
  /// FolderLock.
  BatchFolder(const std::string& path, const Shard& shard, bool shared);

  /// The seed of the run that began the folder, where a journal tells.
  std::optional<std::uint64_t> recorded_seed() const { return before_.seed; }

  /// What the file of a task's name is.
  enum class State { kMissing, kDone, kOther };
  /// Reads the file, all of it. Pictures without metadata are known by the journal's digest; one
  /// that no journal knows, as a run killed just then leaves it, counts as missing where pictures
  /// are made without: it is made again, and must come out the same.
  State state(const Task& task, MetadataMode metadata) const;
  /// Throws Error::output when the task's file was made with other weights: pictures of two models
  /// must not be mixed under one's name.
  void check_weights(const Task& task, const std::map<std::string, std::string>& weights) const;

  /// Whether this process may make the picture now; always, unless the folder is shared.
  bool claim(const Task& task);
  void release(const Task& task);

  /// What the file of a task's name holds; empty when it cannot be read as a picture.
  std::optional<Image> picture(const Task& task) const;

  /// Writes a picture whole or not at all.
  WrittenPicture write(const Task& task, std::span<const std::byte> png, IfExists if_exists,
                       std::uint64_t seed) const;
  /// Adds its journal entry, with the seconds that it took and the time now.
  void note_picture(const Task& task, const WrittenPicture& picture,
                    const std::optional<std::string>& id, double seconds) const;
  /// Adds an entry to this process' journal.
  void note(const nlohmann::ordered_json& entry) const;

  std::filesystem::path path_of(const Task& task) const { return folder_.path() / task.name; }
  const OutputFolder& folder() const { return folder_; }

 private:
  OutputFolder folder_;
  FolderLock lock_;
  bool shared_;
  std::string journal_;
  JournalSummary before_;
};

}  // namespace ldm::app
