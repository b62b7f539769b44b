#include "ldm/io/checksums.h"

#include <filesystem>
#include <fstream>
#include <random>

#include "ldm/io/hash.h"
#include "ldm/io/safetensors_writer.h"
#include "tests/io/errors.h"
#include "tests/io/memory_tensors.h"
#include "tests/io/safetensors_bytes.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm {
namespace {

namespace fs = std::filesystem;
using test::Contains;
using test::error_of;
using test::rule_of;

fs::path checked_file(const test::TempDir& folder) {
  test::MemoryTensors memory;
  memory.add("a.weight", {8, 8});
  memory.add("b.bias", {16}, 3);
  TensorWriteOptions options;
  options.metadata = {{"format", "pt"}, {"modelspec.prediction_type", "v"}};
  return write_tensors(*memory.source, folder.path(), "x", options).files[0];
}

fs::path plain_file(const test::TempDir& folder) {
  const std::string header = R"({"w":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})";
  return folder.write("plain.safetensors", test::safetensors_bytes(header, 2));
}

TEST_CASE("checksums: nothing vouches for an ordinary file") {
  const test::TempDir folder;
  const Integrity integrity = check_integrity(plain_file(folder));
  CHECK(integrity.state == IntegrityState::kUnverified);
  CHECK_THAT(describe(integrity), Contains("unverified"));
  throw_on_mismatch(integrity, "x");
}

TEST_CASE("checksums: a .sha256 beside the file comes first") {
  const test::TempDir folder;
  const fs::path file = checked_file(folder);
  folder.write("x.safetensors.sha256", sha256_file(file) + "  x.safetensors\n");
  Integrity integrity = check_integrity(file);
  CHECK(integrity.state == IntegrityState::kVerified);
  CHECK(integrity.source == "x.safetensors.sha256 beside it");
  folder.write("x.safetensors.sha256", std::string(64, 'A'));
  integrity = check_integrity(file);
  CHECK(integrity.state == IntegrityState::kMismatch);
  CHECK(integrity.expected == std::string(64, 'a'));
  const auto error = error_of([&] { throw_on_mismatch(integrity, file); });
  REQUIRE(error);
  CHECK(error->rule() == "E_SUM_MISMATCH");
  CHECK(error->exit_code() == 4);
  folder.write("x.safetensors.sha256", "no digest");
  CHECK_THAT(error_of([&] { check_integrity(file); })->message(), Contains("64 hex digits"));
}

TEST_CASE("checksums: a cache's blob is named by its digest") {
  const test::TempDir folder;
  const fs::path file = plain_file(folder);
  fs::create_directories(folder / "blobs");
  fs::create_directories(folder / "snapshots");
  const fs::path blob = folder / "blobs" / sha256_file(file);
  fs::copy_file(file, blob);
  fs::create_symlink(fs::path("..") / "blobs" / blob.filename(),
                     folder / "snapshots" / "m.safetensors");
  CHECK(check_integrity(folder / "snapshots" / "m.safetensors").state == IntegrityState::kVerified);
  const fs::path wrong = folder / "blobs" / std::string(64, '0');
  fs::copy_file(file, wrong);
  fs::create_symlink(wrong, folder / "snapshots" / "n.safetensors");
  const Integrity integrity = check_integrity(folder / "snapshots" / "n.safetensors");
  CHECK(integrity.state == IntegrityState::kMismatch);
  CHECK_THAT(integrity.source, Contains("cache"));
}

TEST_CASE("checksums: published files are known by name and digest") {
  const test::TempDir folder;
  const fs::path file = folder / "v1-5-pruned-emaonly.safetensors";
  fs::copy_file(plain_file(folder), file);
  CHECK(check_integrity(file).state == IntegrityState::kUnverified);
  const std::string digest = "6ce0161689b3853acaa03779ec93eafe75a02f4ced659bee03f50797806fa2fa";
  const Integrity integrity = check_integrity(file, digest);
  CHECK(integrity.state == IntegrityState::kVerified);
  CHECK_THAT(integrity.source, Contains("published"));
}

TEST_CASE("checksums: the tensor that changed is named") {
  const test::TempDir folder;
  const fs::path file = checked_file(folder);
  CHECK(check_integrity(file).state == IntegrityState::kVerified);
  std::string bytes = test::slurp(file);
  bytes[bytes.size() - 1] = static_cast<char>(bytes[bytes.size() - 1] ^ 1);
  folder.write("x.safetensors", bytes);
  const Integrity integrity = check_integrity(file);
  CHECK(integrity.state == IntegrityState::kMismatch);
  CHECK(integrity.tensor == "b.bias");
  CHECK_THAT(error_of([&] { throw_on_mismatch(integrity, file); })->message(),
             Contains("tensor \"b.bias\""));
}

TEST_CASE("checksums: every single flipped bit of a checked file is found", "[slow]") {
  const test::TempDir folder;
  const std::string good = test::slurp(checked_file(folder));
  const fs::path file = folder / "flipped.safetensors";
  std::mt19937 random(11);
  std::size_t missed = 0;
  for (std::size_t i = 0; i < 10000; ++i) {
    // Every bit of the file once, then some twice.
    const std::size_t bit = i < good.size() * 8 ? i : random() % (good.size() * 8);
    std::string bytes = good;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    folder.write("flipped.safetensors", bytes);
    const std::string rule = rule_of([&] { throw_on_mismatch(check_integrity(file), file); });
    missed += rule == "none" ? 1U : 0U;
  }
  CHECK(missed == 0);
}

}  // namespace
}  // namespace ldm
