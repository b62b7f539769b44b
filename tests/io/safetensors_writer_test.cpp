#include "ldm/io/safetensors_writer.h"

#include <cstring>

#include "ldm/io/checksums.h"
#include "ldm/io/hash.h"
#include "ldm/io/json.h"
#include "ldm/io/weights_index.h"
#include "tests/io/errors.h"
#include "tests/io/memory_tensors.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm {
namespace {

namespace fs = std::filesystem;
using test::Contains;
using test::error_of;
using test::rule_of;

test::MemoryTensors some_tensors() {
  test::MemoryTensors memory;
  memory.add("b.weight", {2, 3});
  memory.add("a.weight", {4}, -2);
  memory.add("scalar", {}, 7);
  memory.add("empty", {0, 3});
  memory.source->add_value("ids", DType::I64, {1}, std::vector<std::byte>(8, std::byte{3}));
  return memory;
}

TEST_CASE("writer: one file holds the same tensors, a digest each") {
  const test::TempDir folder;
  const test::MemoryTensors memory = some_tensors();
  TensorWriteOptions options;
  options.metadata = {{"format", "pt"}};
  const TensorWriteReport report = write_tensors(*memory.source, folder.path(), "model", options);
  CHECK(report.files == std::vector<fs::path>{folder / "model.safetensors"});
  CHECK(report.bytes == 52);
  CHECK(report.converted.empty());
  const WeightFiles read = WeightFiles::open_file(report.files[0]);
  CHECK(read.names() == memory.source->names());
  for (const std::string& name : read.names()) {
    std::vector<std::byte> bytes(read.find(name)->byte_size());
    std::vector<std::byte> expected(bytes.size());
    read.read(name, bytes);
    memory.source->read(name, expected);
    CHECK(bytes == expected);
    CHECK(read.find(name)->shape == memory.source->find(name)->shape);
    CHECK(read.metadata().at("sha256:" + name) == sha256_hex(bytes));
  }
  CHECK(read.metadata().at("format") == "pt");
  const std::string first = test::slurp(report.files[0]);
  CHECK(rule_of([&] { write_tensors(*memory.source, folder.path(), "model", options); }).empty());
  options.if_exists = IfExists::kReplace;
  write_tensors(*memory.source, folder.path(), "model", options);
  CHECK(test::slurp(report.files[0]) == first);
}

TEST_CASE("writer: shards are named as diffusers names them") {
  const test::TempDir folder;
  const test::MemoryTensors memory = some_tensors();
  TensorWriteOptions options;
  options.max_shard_bytes = 25;
  const auto report =
      write_tensors(*memory.source, folder.path(), "diffusion_pytorch_model", options);
  REQUIRE(report.files.size() == 4);
  CHECK(report.files[0].filename() == "diffusion_pytorch_model-00001-of-00003.safetensors");
  CHECK(report.files[3].filename() == "diffusion_pytorch_model.safetensors.index.json");
  const auto index = read_json_file(report.files[3]);
  CHECK(index["metadata"]["total_size"] == 52);
  CHECK(index["weight_map"].size() == 5);
  const WeightFiles read = WeightFiles::open(folder.path(), "diffusion_pytorch_model");
  CHECK(read.names() == memory.source->names());
  CHECK(test::floats(read, "b.weight") == test::floats(*memory.source, "b.weight"));
}

TEST_CASE("writer: another dtype, whole numbers as they are") {
  const test::TempDir folder;
  const test::MemoryTensors memory = some_tensors();
  TensorWriteOptions options;
  options.dtype = DType::BF16;
  const auto report = write_tensors(*memory.source, folder.path(), "half", options);
  CHECK(report.converted.size() == 4);
  const WeightFiles read = WeightFiles::open_file(report.files[0]);
  CHECK(read.find("a.weight")->dtype == DType::BF16);
  CHECK(read.find("ids")->dtype == DType::I64);
  options.dtype = DType::F32;
  write_tensors(read, folder.path(), "back", options);
  const WeightFiles back = WeightFiles::open_file(folder / "back.safetensors");
  CHECK(test::floats(back, "a.weight") == test::floats(*memory.source, "a.weight"));
}

TEST_CASE("writer: values too large are an error that leaves nothing behind") {
  const test::TempDir folder;
  test::MemoryTensors memory;
  memory.add("good", {4});
  memory.add("large", {2}, 65504);
  memory.add("larger", {2}, 70000);
  TensorWriteOptions options;
  options.dtype = DType::F16;
  const auto error = error_of([&] { write_tensors(*memory.source, folder.path(), "x", options); });
  REQUIRE(error);
  CHECK(error->rule() == "E_CONVERT_OVERFLOW");
  CHECK_THAT(error->message(), Contains("larger") && Contains("2 values"));
  CHECK(error->exit_code() == 4);
  CHECK(fs::is_empty(folder.path()));
  CHECK(parse_dtype("bf16") == DType::BF16);
  CHECK(error_of([] { parse_dtype("f16"); })->exit_code() == 2);
}

TEST_CASE("writer: tensors larger than a piece are streamed") {
  const test::TempDir folder;
  test::MemoryTensors memory;
  memory.add("big", {3, 1 << 20});
  TensorWriteOptions options;
  options.dtype = DType::F32;
  const auto report = write_tensors(*memory.source, folder.path(), "big", options);
  const WeightFiles read = WeightFiles::open_file(report.files[0]);
  CHECK(test::floats(read, "big") == test::floats(*memory.source, "big"));
  CHECK(check_own_hashes(report.files[0]).state == IntegrityState::kVerified);
}

}  // namespace
}  // namespace ldm
