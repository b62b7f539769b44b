#include "ldm/train/checkpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <system_error>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/fields.h"
#include "ldm/io/file.h"
#include "ldm/io/json.h"
#include "ldm/io/safetensors_writer.h"

namespace ldm::train {
namespace fs = std::filesystem;

namespace {

constexpr const char* kStateFile = "state.json";
constexpr const char* kTensorsStem = "state";
constexpr std::string_view kPrefix = "step-";
constexpr std::string_view kStaged = ".staged-";

std::string folder_name(std::int64_t step) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "step-%08lld", static_cast<long long>(step));
  return text.data();
}

/// Error::output unless a file-system call went well.
void check(const std::error_code& error, const char* what, const fs::path& path) {
  if (error) throw Error::output(cat("cannot ", what, " ", path.string(), ": ", error.message()));
}

/// Makes a folder's entries durable.
void sync_folder(const fs::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

/// Removes what is staged when it goes without `keep`.
class Staging {
 public:
  explicit Staging(fs::path folder) : folder_(std::move(folder)) {
    std::error_code error;
    fs::remove_all(folder_, error);
    fs::create_directories(folder_ / "model", error);
    check(error, "make", folder_);
  }
  ~Staging() {
    std::error_code ignored;
    if (!folder_.empty()) fs::remove_all(folder_, ignored);
  }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  const fs::path& folder() const { return folder_; }
  void become(const fs::path& name) {
    std::error_code error;
    fs::remove_all(name, error);
    sync_folder(folder_);
    fs::rename(folder_, name, error);
    check(error, "rename a checkpoint to", name);
    folder_.clear();
    sync_folder(name.parent_path());
  }

 private:
  fs::path folder_;
};

}  // namespace

Checkpoints::Checkpoints(fs::path folder, std::int64_t keep)
    : folder_(std::move(folder)), keep_(keep) {}

std::vector<fs::path> Checkpoints::list() const {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    const std::string name = entry.path().filename().string();
    if (name.compare(0, kPrefix.size(), kPrefix) == 0 && fs::exists(entry.path() / kStateFile)) {
      found.push_back(entry.path());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

fs::path Checkpoints::save(const RunState& state, const TensorMap& tensors,
                           const std::function<void(const fs::path&)>& export_model) {
  const std::string name = folder_name(state.step);
  const fs::path target = folder_ / name;
  Staging staging(folder_ / cat(kStaged, name));
  TensorWriteOptions options;
  options.metadata["step"] = std::to_string(state.step);
  write_tensors(TensorMapSource(tensors), staging.folder(), kTensorsStem, options);
  export_model(staging.folder() / "model");
  nlohmann::json json = write_fields(state);
  json["config"] = state.config;
  write_file_atomic(staging.folder() / kStateFile, std::string_view(json.dump(2) + "\n"),
                    IfExists::kRefuse);
  staging.become(target);
  std::vector<fs::path> all = list();
  std::error_code ignored;
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep_) < all.size(); ++i) {
    fs::remove_all(all[i], ignored);
  }
  return target;
}

std::optional<fs::path> Checkpoints::latest() const {
  const std::vector<fs::path> all = list();
  return all.empty() ? std::nullopt : std::optional(all.back());
}

RunState Checkpoints::read_state(const fs::path& checkpoint) {
  const fs::path file = checkpoint / kStateFile;
  const nlohmann::json json = read_json_file(file);
  RunState state;
  read_fields(json, state, file.string());
  state.config = json.value("config", nlohmann::json::object());
  if (state.step < 0 || folder_name(state.step) != checkpoint.filename()) {
    throw Error::model(cat(file.string(), ": step ", state.step, " is not the folder's"));
  }
  return state;
}

TensorMap Checkpoints::read_state_tensors(const fs::path& checkpoint) {
  return read_tensors(checkpoint / cat(kTensorsStem, ".safetensors"));
}

}  // namespace ldm::train
