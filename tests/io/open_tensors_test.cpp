#include "ldm/io/open_tensors.h"

#include <array>

#include "ldm/io/torch_checkpoint.h"
#include "ldm/io/weights_index.h"
#include "tests/io/errors.h"
#include "tests/io/pickle_bytes.h"
#include "tests/io/safetensors_bytes.h"
#include "tests/io/zip_bytes.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm {
namespace {

using test::Contains;
using test::error_of;
using test::rule_of;

const std::string kSafetensors =
    test::safetensors_bytes(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8);

std::string checkpoint() {
  return test::checkpoint_bytes(test::py_file(test::py_dict({"w", test::py_floats("0", 2)})),
                                {std::string(8, '\0')});
}

TEST_CASE("open_tensors: files open by what they hold") {
  const test::TempDir folder;
  for (const std::string name : {"a.safetensors", "a.SafeTensors", "blob"}) {
    const auto source = open_tensors(folder.write(name, kSafetensors));
    CHECK(dynamic_cast<const WeightFiles*>(source.get()) != nullptr);
    CHECK(source->names() == std::vector<std::string>{"w"});
  }
  for (const std::string name : {"a.ckpt", "a.pt", "a.pth", "a.bin", "a.CKPT", "blob2"}) {
    const auto source = open_tensors(folder.write(name, checkpoint()));
    CHECK(dynamic_cast<const TorchCheckpoint*>(source.get()) != nullptr);
    std::array<std::byte, 8> bytes{};
    source->read("w", bytes);
    CHECK(describe(*source->find("w")) == "F32 [2]");
  }
  const auto index =
      folder.write("model.safetensors.index.json", R"({"weight_map":{"w":"a.safetensors"}})");
  CHECK(open_tensors(index)->file_of("w").filename() == "a.safetensors");
}

TEST_CASE("open_tensors: a name that claims another format is an error, with the way out") {
  const test::TempDir folder;
  const auto zip = error_of([&] { open_tensors(folder.write("z.safetensors", checkpoint())); });
  REQUIRE(zip);
  CHECK(zip->rule() == "E_ST_ZIP");
  CHECK_THAT(zip->hint(), Contains(".ckpt"));
  const std::string pickle = "\x80\x02}q" + std::string(600, 'x');
  CHECK(rule_of([&] { open_tensors(folder.write("p.SAFETENSORS", pickle)); }) == "E_ST_PICKLE");
  for (const std::string name : {"s.ckpt", "s.pt", "s.pth", "s.bin", "s.CKPT"}) {
    const auto error = error_of([&] { open_tensors(folder.write(name, kSafetensors)); });
    REQUIRE(error);
    CHECK(error->rule() == "E_CKPT_SAFETENSORS");
    CHECK_THAT(error->hint(), Contains("name it .safetensors"));
    CHECK_THAT(error->message(), Contains(name));
  }
}

TEST_CASE("open_tensors: what holds no weights is named as such") {
  const test::TempDir folder;
  const auto rule = [&folder](const std::string& name, const std::string& bytes) {
    const auto path = folder.write(name, bytes);
    const auto error = error_of([&] { open_tensors(path); });
    REQUIRE(error);
    CHECK(error->exit_code() == 4);
    CHECK_THAT(error->message(), Contains(name));
    CHECK_FALSE(error->hint().empty());
    return error->rule();
  };
  for (const std::string name : {"a.ckpt", "a"}) {
    CHECK(rule(name, "") == "E_WEIGHTS_FORMAT");
    CHECK(rule(name, "hello") == "E_WEIGHTS_FORMAT");
    CHECK(rule(name, "version https://git-lfs.github.com/spec/v1\noid") == "E_ST_LFS");
    CHECK(rule(name, "<!DOCTYPE html>") == "E_ST_HTML");
    CHECK(rule(name, "\x80\x02}.") == "E_CKPT_LEGACY");
    CHECK(rule(name, std::string(257, 'a') + "ustar\0" + std::string(300, '\0')) == "E_CKPT_TAR");
    CHECK(rule(name, "PK\x03\x04 and no more of it than that") == "E_ZIP_END");
  }
  CHECK(rule("a.safetensors", "") == "E_ST_SHORT");
  CHECK(rule("m.safetensors.index.json", "{") == "E_IDX_JSON");
  CHECK(rule("m.safetensors.index.json", R"({"weight_map":{"w":"../a.safetensors"}})") ==
        "E_IDX_PATH");
  CHECK(error_of([&] { open_tensors(folder / "absent.ckpt"); })->code() == ErrorCode::kModel);
  CHECK(error_of([&] { open_tensors(folder.path()); })->code() == ErrorCode::kModel);
}

}  // namespace
}  // namespace ldm
