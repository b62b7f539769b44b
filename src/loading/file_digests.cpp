#include "ldm/loading/file_digests.h"

#include <span>

#include "ldm/io/hash.h"

namespace ldm {

std::shared_future<std::string> FileDigests::future(const std::filesystem::path& path) {
  const std::lock_guard lock(mutex_);
  const auto found = digests_.find(path);
  if (found != digests_.end()) return found->second;
  auto digest =
      std::async(std::launch::async, [this, path] { return cache_.sha256(path); }).share();
  digests_.emplace(path, digest);
  return digest;
}

void FileDigests::start(const std::vector<SourceFile>& files) {
  for (const SourceFile& file : files) future(file.path);
}

std::string FileDigests::of(const std::filesystem::path& path) { return future(path).get(); }

Integrity FileDigests::integrity(const std::filesystem::path& path, bool own_hashes) {
  const std::string digest = of(path);
  const std::lock_guard lock(mutex_);
  const auto found = verdicts_.find(path);
  if (found != verdicts_.end()) return found->second;
  Integrity verdict = check_whole_file(path, digest);
  if (verdict.state == IntegrityState::kUnverified) {
    // True of the caller's tensors alone, so not remembered for the file's other components.
    if (own_hashes) return {IntegrityState::kVerified, "its own metadata", {}, {}, {}};
    verdict = check_own_hashes(path);
  }
  return verdicts_[path] = verdict;
}

std::string files_sha256(const std::vector<SourceFile>& files, FileDigests& digests) {
  std::string all;
  for (const SourceFile& file : files) all += digests.of(file.path);
  return files.size() == 1 ? all : sha256_hex(std::as_bytes(std::span(all)));
}

FilesVerdict judge_files(const std::vector<SourceFile>& files, FileDigests& digests,
                         bool own_hashes) {
  FilesVerdict verdict;
  for (const SourceFile& file : files) {
    const Integrity integrity = digests.integrity(file.path, own_hashes);
    throw_on_mismatch(integrity, file.path);
    const bool is_worst = integrity.state == IntegrityState::kUnverified;
    if (verdict.integrity.empty() || is_worst) verdict.integrity = describe(integrity);
  }
  verdict.sha256 = files_sha256(files, digests);
  return verdict;
}

}  // namespace ldm
