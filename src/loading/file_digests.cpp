#include "ldm/loading/file_digests.h"

#include <span>

#include "ldm/io/hash.h"

namespace ldm {

std::shared_future<std::string> FileDigests::future(const std::filesystem::path& path) {
  const std::lock_guard lock(mutex_);
  const auto found = digests_.find(path);
  if (found != digests_.end()) return found->second;
  auto digest = std::async(std::launch::async, [path] { return sha256_file(path); }).share();
  digests_.emplace(path, digest);
  return digest;
}

void FileDigests::start(const std::vector<SourceFile>& files) {
  for (const SourceFile& file : files) future(file.path);
}

std::string FileDigests::of(const std::filesystem::path& path) { return future(path).get(); }

FilesVerdict judge_files(const std::vector<SourceFile>& files, FileDigests& digests,
                         bool own_hashes) {
  FilesVerdict verdict;
  std::string all;
  for (const SourceFile& file : files) {
    const std::string digest = digests.of(file.path);
    Integrity integrity = check_whole_file(file.path, digest);
    throw_on_mismatch(integrity, file.path);
    if (integrity.state == IntegrityState::kUnverified && own_hashes) {
      integrity.state = IntegrityState::kVerified;
      integrity.source = "its own metadata";
    }
    const bool worst_yet = verdict.integrity.empty() ||  //
                           integrity.state == IntegrityState::kUnverified;
    if (worst_yet) verdict.integrity = describe(integrity);
    all += digest;
  }
  verdict.sha256 = files.size() == 1 ? all : sha256_hex(std::as_bytes(std::span(all)));
  return verdict;
}

}  // namespace ldm
