// Replays the committed corpus of every fuzz target: seeds, and whatever a run has ever found. No
// fuzzer is needed, so that each build checks them, also under the sanitizers.
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

// The entry points of NAME_fuzz.cpp, which CMake renames to fuzz_NAME.
#define LDM_FUZZ_TARGET(name) \
  extern "C" int fuzz_##name(const std::uint8_t* data, std::size_t size);
LDM_FUZZ_TARGET(safetensors)
LDM_FUZZ_TARGET(json)
LDM_FUZZ_TARGET(png)
LDM_FUZZ_TARGET(jpeg)
LDM_FUZZ_TARGET(zip)
LDM_FUZZ_TARGET(pickle)
LDM_FUZZ_TARGET(checkpoint)
LDM_FUZZ_TARGET(index)
LDM_FUZZ_TARGET(tar)
LDM_FUZZ_TARGET(bpe)
LDM_FUZZ_TARGET(jobs)
LDM_FUZZ_TARGET(prompts)
LDM_FUZZ_TARGET(prompt_syntax)
LDM_FUZZ_TARGET(journal)
LDM_FUZZ_TARGET(recorded)
#undef LDM_FUZZ_TARGET

namespace ldm {
namespace {

using Target = int (*)(const std::uint8_t*, std::size_t);

// Each target ends the process on a finding, as under the fuzzer.
void replay(Target target, const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  CHECK_FALSE(files.empty());
  for (const auto& file : files) {
    INFO(file);
    const std::string bytes = test::slurp(file);
    CHECK(target(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()) == 0);
  }
}

TEST_CASE("fuzz corpus: safetensors") {
  replay(fuzz_safetensors, test::test_file("fuzz/corpus/safetensors"));
}
TEST_CASE("fuzz corpus: json") { replay(fuzz_json, test::test_file("fuzz/corpus/json")); }
TEST_CASE("fuzz corpus: png") { replay(fuzz_png, test::test_file("io/data")); }
TEST_CASE("fuzz corpus: jpeg") { replay(fuzz_jpeg, test::test_file("io/data")); }
TEST_CASE("fuzz corpus: zip") { replay(fuzz_zip, test::test_file("fuzz/corpus/zip")); }
TEST_CASE("fuzz corpus: pickle") { replay(fuzz_pickle, test::test_file("fuzz/corpus/pickle")); }
TEST_CASE("fuzz corpus: checkpoint") {
  replay(fuzz_checkpoint, test::test_file("fuzz/corpus/checkpoint"));
}
TEST_CASE("fuzz corpus: index") { replay(fuzz_index, test::test_file("fuzz/corpus/index")); }
TEST_CASE("fuzz corpus: bpe") { replay(fuzz_bpe, test::test_file("fuzz/corpus/bpe")); }
TEST_CASE("fuzz corpus: jobs") { replay(fuzz_jobs, test::test_file("fuzz/corpus/jobs")); }
TEST_CASE("fuzz corpus: prompts") { replay(fuzz_prompts, test::test_file("fuzz/corpus/prompts")); }
TEST_CASE("fuzz corpus: prompt_syntax") {
  replay(fuzz_prompt_syntax, test::test_file("fuzz/corpus/prompt_syntax"));
}
TEST_CASE("fuzz corpus: journal") { replay(fuzz_journal, test::test_file("fuzz/corpus/journal")); }
TEST_CASE("fuzz corpus: recorded") {
  replay(fuzz_recorded, test::test_file("fuzz/corpus/recorded"));
}
TEST_CASE("fuzz corpus: tar") { replay(fuzz_tar, test::test_file("fuzz/corpus/tar")); }

}  // namespace
}  // namespace ldm
