#pragma once

#include <filesystem>
#include <future>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "ldm/io/checksums.h"
#include "ldm/io/digest_cache.h"
#include "ldm/io/tensor_source.h"

namespace ldm {

/// SHA-256 of the files of one model, each computed once however many components a file holds.
/// Safe from several threads.
class FileDigests {
 public:
  /// Looks into `cache` before it reads a file.
  explicit FileDigests(DigestCache cache = {}) : cache_(std::move(cache)) {}

  /// Starts hashing the files in the background, those that nobody asked about before.
  void start(const std::vector<SourceFile>& files);
  /// A file's digest, waiting for it. Error::model when the file cannot be read.
  std::string of(const std::filesystem::path& path);
  /// What vouches for a file: for its whole, or for each tensor by its own metadata. The latter is
  /// read again, unless `own_hashes` says that the tensors were compared as they were loaded.
  Integrity integrity(const std::filesystem::path& path, bool own_hashes);

 private:
  std::shared_future<std::string> future(const std::filesystem::path& path);

  DigestCache cache_;
  std::mutex mutex_;
  std::map<std::filesystem::path, std::shared_future<std::string>> digests_;
  std::map<std::filesystem::path, Integrity> verdicts_;
};

/// A file's digest, or that of all shards' digests in order.
std::string files_sha256(const std::vector<SourceFile>& files, FileDigests& digests);

/// What is known of the files of one component after their whole contents were hashed.
struct FilesVerdict {
  std::string sha256;     ///< as `files_sha256`
  std::string integrity;  ///< "verified by …" or "unverified: …", in words
};

/// Digests of `files` and what vouches for them; `own_hashes` says that every tensor was compared
/// with the file's own metadata as it was read. Error::model E_SUM_MISMATCH for a damaged file.
FilesVerdict judge_files(const std::vector<SourceFile>& files, FileDigests& digests,
                         bool own_hashes);

}  // namespace ldm
