#include "ldm/app/batch_folder.h"

#include <chrono>
#include <cmath>
#include <span>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/hash.h"
#include "ldm/io/image.h"

namespace ldm::app {
namespace {

constexpr std::uint64_t kMostPictureBytes = kMaxImageBytes * 4;

FolderLock lock_for(const OutputFolder& folder, const Shard& shard, bool shared) {
  if (shared) return FolderLock::shared(folder);
  if (shard.count > 1) return FolderLock::shard(folder, shard.index, shard.count);
  return FolderLock::alone(folder);
}

double seconds_since_epoch() {
  using Seconds = std::chrono::duration<double>;
  const Seconds now = std::chrono::system_clock::now().time_since_epoch();
  return std::round(now.count() * 1e3) / 1e3;
}

std::string text_of(const nlohmann::json& entry, const char* key) {
  const auto found = entry.find(key);
  return found != entry.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

BatchFolder::BatchFolder(const std::string& path, const Shard& shard, bool shared)
    : folder_(path),
      lock_(lock_for(folder_, shard, shared)),
      shared_(shared),
      journal_(journal_name(shard.index, shard.count)) {
  folder_.sweep();
  before_ = read_journals(folder_);
}

BatchFolder::State BatchFolder::state(const Task& task, MetadataMode metadata) const {
  const auto bytes = folder_.read(task.name, kMostPictureBytes);
  if (!bytes) return folder_.exists(task.name) ? State::kOther : State::kMissing;
  const auto png = std::as_bytes(std::span(*bytes));
  const nlohmann::json settings = settings_in_png(png);
  if (settings.is_object()) {
    return text_of(settings, "job") == task.hash ? State::kDone : State::kOther;
  }
  const auto noted = before_.images.find(task.name);
  if (noted == before_.images.end()) {
    return metadata == MetadataMode::kNone ? State::kMissing : State::kOther;
  }
  const bool same = text_of(noted->second, "job") == task.hash &&
                    text_of(noted->second, "sha256") == sha256_hex(png);
  return same ? State::kDone : State::kOther;
}

void BatchFolder::check_weights(const Task& task,
                                const std::map<std::string, std::string>& weights) const {
  const auto bytes = folder_.read(task.name, kMostPictureBytes);
  if (!bytes) return;
  const nlohmann::json settings = settings_in_png(std::as_bytes(std::span(*bytes)));
  const auto theirs = settings.find("weights");
  if (!settings.is_object() || theirs == settings.end()) return;
  for (const auto& [part, hash] : weights) {
    if (text_of(*theirs, part.c_str()) == hash || !theirs->contains(part)) continue;
    throw Error::output(
        cat(folder_.path().string(), ": ", task.name, " was made with another ", part),
        "name another --output-dir, or replace all pictures with --overwrite");
  }
}

bool BatchFolder::claim(const Task& task) { return !shared_ || lock_.claim(task.index); }

void BatchFolder::release(const Task& task) {
  if (shared_) lock_.release(task.index);
}

std::optional<Image> BatchFolder::picture(const Task& task) const {
  const auto bytes = folder_.read(task.name, kMostPictureBytes);
  if (!bytes) return std::nullopt;
  try {
    return decode_image(std::as_bytes(std::span(*bytes)), task.name);
  } catch (const Error&) {
    return std::nullopt;
  }
}

WrittenPicture BatchFolder::write(const Task& task, std::span<const std::byte> png,
                                  IfExists if_exists, std::uint64_t seed) const {
  folder_.write(task.name, png, if_exists);
  return {path_of(task), seed, task.index, sha256_hex(png)};
}

void BatchFolder::note_picture(const Task& task, const WrittenPicture& picture,
                               const std::optional<std::string>& id, double seconds) const {
  nlohmann::ordered_json entry = {{"event", "image"}, {"schema", 1}, {"index", task.index}};
  if (id) entry["id"] = *id;
  entry["path"] = task.name;
  entry["seed"] = picture.seed;
  entry["job"] = task.hash;
  entry["sha256"] = picture.sha256;
  entry["seconds"] = seconds;
  entry["finished"] = seconds_since_epoch();
  note(entry);
}

void BatchFolder::note(const nlohmann::ordered_json& entry) const {
  folder_.append_line(journal_, journal_line(entry));
}

}  // namespace ldm::app
