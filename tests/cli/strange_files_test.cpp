// Files from strangers, named to the program as models: exit 4, the rule, and what to do next.
#include "tests/cli/ldm_gen.h"
#include "tests/io/pickle_bytes.h"
#include "tests/io/zip_bytes.h"
#include "tests/support/catch.h"

namespace ldm::test {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;

/// A checkpoint whose data.pkl is `pickle`.
std::string checkpoint(const std::string& pickle, const std::string& record = {}) {
  ZipBytes zip;
  zip.add("data.pkl", "\x80\x02" + pickle + ".");
  zip.add("version", "3\n");
  zip.add("byteorder", "little");
  if (!record.empty()) zip.add("data/0", record);
  return zip.finish();
}

std::string safetensors(const std::string& header, std::size_t data_bytes) {
  return raw_number(header.size(), 8) + header + std::string(data_bytes, '\0');
}

struct Case {
  const char* file;
  std::string bytes;
  const char* said;  ///< a part of the message
};

TEST_CASE("strange files are model errors that name rule, tensor and way out") {
  const std::string tensor = R"("a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]})";
  const std::string pair = R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},)"
                           R"("b":{"dtype":"F32","shape":[4],"data_offsets":[8,24]}})";
  const std::vector<Case> cases = {
      {"empty.safetensors", "", "E_ST_SHORT"},
      {"cut.safetensors", safetensors("{" + tensor + "}", 7), "E_ST_TRUNC"},
      {"overlap.safetensors", safetensors(pair, 24), "\"b\""},
      {"twice.safetensors", safetensors("{" + tensor + "," + tensor + "}", 16), "E_ST_DUP"},
      {"huge.safetensors", raw_number(~0ULL, 8) + "{}", "E_ST_HDR_BIG"},
      {"lfs.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
       "E_ST_LFS"},
      {"page.safetensors", "<!DOCTYPE html><html><body>404</body></html>", "E_ST_HTML"},
      {"pickle.safetensors", "\x80\x02}q\x01.", "E_ST_PICKLE"},
      {"zip.safetensors", checkpoint("}"), "E_ST_ZIP"},
      {"code.ckpt", checkpoint(py_global("os", "system") + py_tuple({py_text("id")}) + "R"),
       "\"os system\""},
      {"lies.ckpt",
       checkpoint(py_dict({"w", py_tensor(py_storage("0", 1 << 28), 0, {1 << 28}, {1})}),
                  std::string(16, '\0')),
       "\"w\""},
      {"bomb.ckpt",
       checkpoint(py_dict({"w", py_tensor(py_storage("0", 4), 0, {1 << 30, 1 << 30}, {0, 1})}),
                  std::string(16, '\0')),
       "E_PKL_TENSOR"},
      {"old.ckpt", "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.", "ckpt"},
  };
  for (const Case& c : cases) {
    const TempDir dir;
    dir.write(c.file, c.bytes);
    for (const char* command : {"inspect", "verify"}) {
      const ProgramResult result = ldm_gen_in(dir, {command, c.file});
      INFO(c.file << " " << command << ": " << result.err);
      CHECK(result.exit_code == 4);
      CHECK_THAT(result.err, Contains("ldm-gen: model: ") && Contains(c.file) && Contains(c.said));
      CHECK(lines(result.err).size() <= 2);
    }
    const ProgramResult run = ldm_gen_in(dir, {"-m", c.file, "-p", "a"});
    CHECK(run.exit_code == 4);
    CHECK(files_below(dir.path()) == std::vector<std::string>{c.file});
  }
}

}  // namespace
}  // namespace ldm::test
