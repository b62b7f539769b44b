#include "ldm/loading/file_digests.h"

#include <fstream>

#include "ldm/core/error.h"
#include "ldm/io/hash.h"
#include "ldm/io/safetensors.h"
#include "ldm/io/safetensors_writer.h"
#include "ldm/io/weights_index.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm {
namespace {

namespace fs = std::filesystem;

/// A file of one tensor, with digests in its metadata when `vouched`.
fs::path write_file(const test::TempDir& dir, const std::string& stem, bool vouched) {
  const std::vector<float> values = {1, 2, 3, 4};
  const std::vector<TensorData> tensors = {
      {"a", DType::F32, {4}, std::as_bytes(std::span(values))}};
  const fs::path plain = dir / (stem + ".safetensors");
  write_safetensors(plain, tensors, {}, IfExists::kReplace);
  if (!vouched) return plain;
  TensorWriteOptions options;
  options.if_exists = IfExists::kReplace;
  const WeightFiles source = WeightFiles::open_file(plain);
  return write_tensors(source, dir.path(), stem + "-vouched", options).files.front();
}

FilesVerdict judge(const fs::path& file, bool own_hashes = false) {
  FileDigests digests;
  return judge_files({{file, fs::file_size(file)}}, digests, own_hashes);
}

}  // namespace

TEST_CASE("files that nothing vouches for are said to be unverified") {
  const test::TempDir dir;
  const fs::path file = write_file(dir, "plain", false);
  const FilesVerdict verdict = judge(file);
  CHECK(verdict.sha256 == sha256_file(file));
  CHECK(verdict.integrity.find("unverified") == 0);
}

TEST_CASE("a digest beside the file or in its metadata vouches for it") {
  const test::TempDir dir;
  const fs::path own = write_file(dir, "own", true);
  CHECK(judge(own).integrity == "verified by its own metadata");
  CHECK(judge(own, true).integrity == "verified by its own metadata");
  const fs::path beside = write_file(dir, "beside", false);
  dir.write("beside.safetensors.sha256", sha256_file(beside) + "  beside.safetensors\n");
  CHECK(judge(beside).integrity.find("verified by beside.safetensors.sha256") == 0);
}

TEST_CASE("a file that differs from its digest is refused with the tensor's name") {
  const test::TempDir dir;
  const fs::path own = write_file(dir, "own", true);
  std::fstream file(own, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-1, std::ios::end);
  file.put('\x41');
  file.close();
  try {
    judge(own);
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.rule() == "E_SUM_MISMATCH");
    CHECK(error.message().find("\"a\"") != std::string::npos);
  }
}

TEST_CASE("shards have one digest, that of their digests, and the worst verdict") {
  const test::TempDir dir;
  const fs::path own = write_file(dir, "own", true);
  const fs::path plain = write_file(dir, "plain", false);
  FileDigests digests;
  const std::vector<SourceFile> files = {{own, fs::file_size(own)}, {plain, fs::file_size(plain)}};
  digests.start(files);
  const FilesVerdict verdict = judge_files(files, digests, false);
  CHECK(verdict.sha256 == sha256_hex(sha256_file(own) + sha256_file(plain)));
  CHECK(verdict.integrity.find("unverified") == 0);
}

}  // namespace ldm
