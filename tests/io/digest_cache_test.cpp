#include "ldm/io/digest_cache.h"

#include <chrono>
#include <filesystem>
#include <fstream>

#include "ldm/core/error.h"
#include "ldm/io/hash.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm {
namespace {

namespace fs = std::filesystem;

std::size_t entries(const fs::path& folder) {
  if (!fs::exists(folder)) return 0;
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

/// Nothing tells a test's new file from one that is being written: the cache waits, a test cannot.
/// The time of change is the system's own, so a file of the system is borrowed.
fs::path settled_file() { return "/bin/sh"; }

}  // namespace

TEST_CASE("a digest is remembered for as long as the file system sees no change") {
  const test::TempDir dir;
  const fs::path folder = dir.path() / "cache" / "sha256";
  const DigestCache cache(folder, 1);
  const std::string digest = sha256_file(settled_file());
  CHECK(cache.sha256(settled_file()) == digest);
  REQUIRE(entries(folder) == 1);
  // What is remembered is what is answered: the file is not read again.
  const fs::path entry = fs::directory_iterator(folder)->path();
  std::ofstream(entry) << std::string(64, 'a');
  CHECK(cache.sha256(settled_file()) == std::string(64, 'a'));
  CHECK(DigestCache().sha256(settled_file()) == digest);
}

TEST_CASE("a remembered digest that is none is computed again") {
  const std::string wrong = GENERATE(std::string(), std::string(63, 'a'), std::string(65, 'a'),
                                     std::string(64, 'G'), std::string(10000, 'a'));
  const test::TempDir dir;
  const DigestCache cache(dir.path(), 1);
  const std::string digest = cache.sha256(settled_file());
  const fs::path entry = fs::directory_iterator(dir.path())->path();
  std::ofstream(entry) << wrong;
  CHECK(cache.sha256(settled_file()) == digest);
  CHECK(cache.sha256(settled_file()) == sha256_file(settled_file()));
}

TEST_CASE("a file that changed a moment ago and a small one are not remembered") {
  const test::TempDir dir;
  const fs::path folder = dir.path() / "cache";
  const fs::path file = dir.write("weights", "0123456789");
  CHECK(DigestCache(folder, 1).sha256(file) == sha256_file(file));
  CHECK(entries(folder) == 0);
  // A time that a program set does not make it old.
  fs::last_write_time(file, fs::file_time_type::clock::now() - std::chrono::hours(1));
  CHECK(DigestCache(folder, 1).sha256(file) == sha256_file(file));
  CHECK(entries(folder) == 0);
  CHECK(DigestCache(folder, std::uint64_t{1} << 40).sha256(settled_file()) ==
        sha256_file(settled_file()));
  CHECK(entries(folder) == 0);
}

TEST_CASE("a folder that cannot be made costs nothing but time") {
  const test::TempDir dir;
  const fs::path file = dir.write("file", "no folder");
  CHECK(DigestCache(file / "cache", 1).sha256(settled_file()) == sha256_file(settled_file()));
  CHECK_THROWS_AS(DigestCache(dir.path(), 1).sha256(dir.path() / "none"), Error);
}

}  // namespace ldm
