#include "ldm/train/judgement_data.h"

#include <ATen/TensorOperators.h>

#include <array>
#include <filesystem>

#include "tests/io/errors.h"
#include "tests/support/catch.h"
#include "tests/train/judged_set.h"

namespace {

namespace fs = std::filesystem;
using ldm::test::Contains;
using ldm::test::error_of;
using ldm::test::TempDir;
using ldm::train::JndData;
using ldm::train::TwoAfcData;

void expect_input_error(const std::optional<ldm::Error>& error, const std::string& part) {
  REQUIRE(error);
  CHECK(error->exit_code() == 3);
  CHECK_THAT(error->message(), Contains(part));
  CHECK_FALSE(error->hint().empty());
}

}  // namespace

TEST_CASE("a 2AFC set is read in the order of its names") {
  const TempDir folder;
  ldm::test::write_two_afc_set(folder.path(), 4);
  const TwoAfcData data(folder.path());
  CHECK(data.size() == 4);
  const std::array<std::int64_t, 2> items = {3, 0};
  const ldm::train::TwoAfcBatch batch = data.batch(items);
  CHECK(batch.ref.sizes() == at::IntArrayRef({2, 3, 24, 24}));
  CHECK(batch.judge[0].item<float>() == 1.0F);
  CHECK(batch.judge[1].item<float>() == 0.0F);
  const auto distance = [&](const at::Tensor& p, std::int64_t i) {
    return (p[i] - batch.ref[i]).abs().mean().item<double>();
  };
  CHECK(distance(batch.p1, 0) < distance(batch.p0, 0));
  CHECK(distance(batch.p0, 1) < distance(batch.p1, 1));
  const ldm::Image first = ldm::load_image(folder / "ref/item100.png");
  CHECK(batch.ref[1][2][5][7].item<float>() ==
        static_cast<float>(first.rgb[(5 * 24 + 7) * 3 + 2]) / 127.5F - 1.0F);
  CHECK(TwoAfcData(folder.path(), 40).batch(items).p1.sizes() == at::IntArrayRef({2, 3, 40, 40}));
}

TEST_CASE("a JND set is read") {
  const TempDir folder;
  ldm::test::write_jnd_set(folder.path(), 3);
  const JndData data(folder.path());
  const std::array<std::int64_t, 3> items = {0, 1, 2};
  const ldm::train::JndBatch batch = data.batch(items);
  CHECK(batch.same[0].item<float>() == 1.0F);
  CHECK(batch.same[2].item<float>() == 0.0F);
  CHECK(batch.p0.sizes() == batch.p1.sizes());
}

TEST_CASE("what is wrong with a set is said with the file") {
  const TempDir folder;
  ldm::test::write_two_afc_set(folder.path(), 3);
  const std::array<std::int64_t, 3> all = {0, 1, 2};
  const auto opening = [&] { TwoAfcData(folder.path()); };
  const auto reading = [&] { TwoAfcData(folder.path()).batch(all); };
  REQUIRE_FALSE(error_of(reading));

  SECTION("no folder") {
    fs::remove_all(folder / "p1");
    expect_input_error(error_of(opening), "p1");
  }
  SECTION("a picture missing") {
    fs::remove(folder / "p0/item101.png");
    expect_input_error(error_of(opening), "item101");
  }
  SECTION("a judgement missing") {
    fs::remove(folder / "judge/item102.npy");
    expect_input_error(error_of(opening), "item102");
  }
  SECTION("no judgements at all") {
    fs::remove_all(folder / "judge");
    fs::create_directory(folder / "judge");
    expect_input_error(error_of(opening), "no judgements");
  }
  SECTION("a name twice") {
    ldm::write_file_atomic(folder / "ref/item100.jpg", "x", ldm::IfExists::kRefuse);
    expect_input_error(error_of(opening), "item100");
  }
  SECTION("a judgement that is no share") {
    ldm::test::write_npy(folder / "judge/item101.npy", 1.5F);
    expect_input_error(error_of(reading), "item101");
  }
  SECTION("pictures of two sizes") {
    ldm::test::write_picture(folder / "ref/item102.png", ldm::test::noisy_picture(1, 30, 5));
    expect_input_error(error_of(reading), "30x30");
  }
  SECTION("a broken picture") {
    ldm::write_file_atomic(folder / "p1/item100.png", "x", ldm::IfExists::kReplace);
    expect_input_error(error_of(reading), "item100");
  }
}
