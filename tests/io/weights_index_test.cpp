#include "ldm/io/weights_index.h"

#include "ldm/core/log.h"
#include "tests/io/errors.h"
#include "tests/io/safetensors_bytes.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm {
namespace {

using test::Contains;
using test::error_of;
using test::rule_of;

// A file of one-byte tensors with these names.
std::string shard(const std::vector<std::string>& names) {
  std::string header = R"({"__metadata__":{"first":")" + names.front() + "\"}";
  for (std::size_t i = 0; i < names.size(); ++i) {
    header += ",\"" + names[i] + R"(":{"dtype":"U8","shape":[1],"data_offsets":[)" +
              std::to_string(i) + "," + std::to_string(i + 1) + "]}";
  }
  return test::safetensors_bytes(header + "}", names.size());
}

constexpr const char* kIndex =
    R"({"metadata":{"total_size":3},"weight_map":{"a":"model-1.safetensors",)"
    R"("b":"model-2.safetensors","c":"model-2.safetensors"}})";

int value(const WeightFiles& weights, std::string_view name) {
  std::byte byte{};
  weights.read(name, std::span(&byte, 1));
  return std::to_integer<int>(byte);
}

TEST_CASE("weights: a single file") {
  const test::TempDir folder;
  folder.write("model.safetensors", shard({"a", "b"}));
  const WeightFiles weights = WeightFiles::open(folder.path(), "model");
  CHECK(weights.names() == std::vector<std::string>{"a", "b"});
  CHECK(weights.size() == 2);
  CHECK(value(weights, "b") == 1);
  CHECK(weights.find("x") == nullptr);
  CHECK(weights.total_bytes() == 2);
  CHECK(weights.files().size() == 1);
  CHECK(weights.metadata().at("first") == "a");
  CHECK(error_of([&] { value(weights, "x"); })->code() == ErrorCode::kModel);
  weights.check_unchanged();
}

TEST_CASE("weights: shards under each spelling of the index") {
  const test::TempDir folder;
  folder.write("model-1.safetensors", shard({"a"}));
  folder.write("model-2.safetensors", shard({"b", "c"}));
  const auto [name, variant] =
      GENERATE(table<std::string, std::string>({{"model.safetensors.index.json", ""},
                                                {"model.safetensors.index.fp16.json", ""},
                                                {"model.safetensors.index.fp16.json", "fp16"},
                                                {"model.fp16.safetensors.index.json", "fp16"}}));
  folder.write(name, kIndex);
  WeightFiles opened = WeightFiles::open(folder.path(), "model", variant);
  const WeightFiles weights = std::move(opened);
  CHECK(weights.names() == std::vector<std::string>{"a", "b", "c"});
  CHECK(value(weights, "c") == 1);
  CHECK(weights.file_of("b").filename() == "model-2.safetensors");
  REQUIRE(weights.files().size() == 2);
  CHECK(weights.files()[0].path.filename() == "model-1.safetensors");
  CHECK(WeightFiles::open_file(folder / name).size() == 3);
}

TEST_CASE("weights: variants are tried in order and a substitute is logged") {
  const test::TempDir folder;
  std::vector<std::string> events;
  set_log_sink([&events](const LogEvent& event) { events.push_back(event.code); });
  folder.write("model.fp16.safetensors", shard({"half"}));
  CHECK(WeightFiles::open(folder.path(), "model").find("half") != nullptr);
  CHECK(events == std::vector<std::string>{"weights-variant"});
  folder.write("model.safetensors", shard({"full"}));
  CHECK(WeightFiles::open(folder.path(), "model").find("full") != nullptr);
  CHECK(WeightFiles::open(folder.path(), "model", "fp16").find("half") != nullptr);
  CHECK(events.size() == 1);
  set_log_sink({});
  const auto error = error_of([&] { WeightFiles::open(folder.path(), "model", "bf16"); });
  REQUIRE(error);
  CHECK_THAT(error->message(), Contains("no model.bf16.safetensors") &&
                                   Contains("only model.fp16.safetensors, model.safetensors"));
}

TEST_CASE("weights: shards that are links lead beside the index or to the cache's blobs") {
  const test::TempDir dir;
  const auto link_to = [&dir](const std::string& folder, const std::string& target) {
    dir.write(folder + "/model-2.safetensors", shard({"b", "c"}));
    dir.write(folder + "/model.safetensors.index.json", kIndex);
    std::filesystem::create_symlink(target, dir / folder / "model-1.safetensors");
    return WeightFiles::open(dir / folder, "model").size();
  };
  dir.write("repo/blobs/0123abcd", shard({"a"}));
  dir.write("elsewhere/x.safetensors", shard({"a"}));
  dir.write("beside/other.safetensors", shard({"a"}));
  CHECK(link_to("repo/snapshots/rev/unet", "../../../blobs/0123abcd") == 3);
  CHECK(link_to("beside", "other.safetensors") == 3);
  CHECK(test::rule_of([&] { link_to("out", "../elsewhere/x.safetensors"); }) == "E_IDX_PATH");
  CHECK(test::rule_of([&] { link_to("up", "../repo/blobs/0123abcd"); }) == "E_IDX_PATH");
}

TEST_CASE("weights: what is there instead is named") {
  const test::TempDir folder;
  const auto error = [&] { return error_of([&] { WeightFiles::open(folder.path(), "model"); }); };
  CHECK_THAT(error()->message(), Contains("no model.safetensors"));
  folder.write("pytorch_model.bin", "x");
  CHECK_THAT(error()->message(), Contains("only pytorch_model.bin"));
  CHECK_THAT(error()->hint(), Contains("safe_serialization"));
  CHECK(error()->exit_code() == 4);
  const auto missing = error_of([&] { WeightFiles::open(folder / "none", "model"); });
  CHECK_THAT(missing->message(), Contains("no such folder"));
}

TEST_CASE("weights: the rules of an index (checklist 28)") {
  const test::TempDir folder;
  folder.write("model-1.safetensors", shard({"a"}));
  const auto rule = [&](const std::string& index) {
    const auto path = folder.write("model.safetensors.index.json", index);
    return rule_of([&] { WeightFiles::open_file(path); });
  };
  const auto mapped = [&](const std::string& file) {
    return rule(R"({"weight_map":{"a":")" + file + "\"}}");
  };
  CHECK(mapped("model-1.safetensors") == "none");
  CHECK(rule("[]") == "E_IDX_JSON");
  CHECK(rule("{}") == "E_IDX_JSON");
  CHECK(rule(R"({"weight_map":[]})") == "E_IDX_JSON");
  CHECK(rule(R"({"weight_map":{"a":1}})") == "E_IDX_JSON");
  CHECK(rule(R"({"weight_map":{"a":"model-1.safetensors","a":"b.safetensors"}})") == "E_IDX_JSON");
  for (const char* path : {"/etc/model-1.safetensors", "../model-1.safetensors",
                           "x/model-1.safetensors", "..\\\\model-1.safetensors", ".", "..", "",
                           ".hidden.safetensors", "model-1.bin", "model\\u0000-1.safetensors"}) {
    INFO(path);
    CHECK(mapped(path) == "E_IDX_PATH");
  }
  CHECK(mapped("model-9.safetensors") == "E_IDX_SHARD");
  folder.write("model-2.safetensors", shard({"b"}));
  CHECK(mapped("model-2.safetensors") == "E_IDX_MISSING");
  folder.write("model-2.safetensors", shard({"b", "a"}));
  CHECK(rule(R"({"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}})") ==
        "E_IDX_DUP");
}

}  // namespace
}  // namespace ldm
