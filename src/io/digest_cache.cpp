#include "ldm/io/digest_cache.h"

#include <chrono>
#include <optional>
#include <system_error>
#include <utility>

#include "ldm/core/environment.h"
#include "ldm/core/error.h"
#include "ldm/io/file.h"
#include "ldm/io/hash.h"

namespace ldm {
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kLeastBytes = std::uint64_t{64} << 20;
/// A change within a file system's tick of the one before leaves no trace.
constexpr std::chrono::seconds kSettled{2};
constexpr std::size_t kHexDigits = 64;

std::optional<std::string> recall(const fs::path& entry) {
  std::error_code error;
  if (!fs::is_regular_file(entry, error)) return std::nullopt;
  try {
    std::string digest = read_small_file(entry, kHexDigits);
    if (is_sha256_hex(digest)) return digest;
  } catch (const Error&) {
    // As if it were not there.
  }
  return std::nullopt;
}

void remember(const fs::path& entry, const std::string& digest) {
  try {
    std::error_code error;
    fs::create_directories(entry.parent_path(), error);
    write_file_atomic(entry, digest, IfExists::kReplace);
  } catch (const Error&) {
    // Then it is computed again next time.
  }
}

}  // namespace

DigestCache::DigestCache(fs::path folder, std::uint64_t least_bytes)
    : folder_(std::move(folder)), least_bytes_(least_bytes) {}

DigestCache DigestCache::of_user() {
  const fs::path folder = user_cache_folder();
  return folder.empty() ? DigestCache() : DigestCache(folder / "sha256", kLeastBytes);
}

std::string DigestCache::sha256(const fs::path& path) const {
  if (folder_.empty()) return sha256_file(path);
  const FileStamp stamp = InputFile(path).stamp();
  if (stamp.size < least_bytes_) return sha256_file(path);
  const fs::path entry = folder_ / sha256_hex(stamp.text());
  if (auto digest = recall(entry)) return *std::move(digest);
  const bool settled = stamp.last_change() + kSettled < std::chrono::system_clock::now();
  std::string digest = sha256_file(path);
  if (settled && InputFile(path).stamp() == stamp) remember(entry, digest);
  return digest;
}

}  // namespace ldm
