// Contact sheets as users make them.

#include <filesystem>

#include "ldm/io/image.h"
#include "ldm/io/png.h"
#include "tests/cli/ldm_gen.h"
#include "tests/support/catch.h"

namespace ldm::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::vector<std::string> quick(std::vector<std::string> more) {
  std::vector<std::string> args = {
      "-p",     "a cat", "--steps",       "2",         "-W", "64", "-H", "64",
      "--seed", "5",     "--no-progress", "--threads", "1"};
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

/// What a sheet's PNG text says of it.
json sheet_text(const fs::path& path) {
  const std::string bytes = slurp(path);
  for (const PngText& text : read_png_text(std::as_bytes(std::span(bytes)), path.string())) {
    if (text.key == "ldm-gen-grid") return json::parse(text.value);
  }
  return nullptr;
}

/// Whether the part of a sheet at (x, y) is the picture.
bool shows(const Image& sheet, int x, int y, const Image& picture) {
  if (x + picture.width > sheet.width || y + picture.height > sheet.height) return false;
  for (int row = 0; row < picture.height; ++row) {
    const auto from = picture.rgb.begin() + 3 * row * picture.width;
    const auto at = sheet.rgb.begin() + 3 * ((y + row) * sheet.width + x);
    if (!std::equal(from, from + 3 * picture.width, at)) return false;
  }
  return true;
}

void check_cells(const fs::path& sheet_path, const std::vector<fs::path>& pictures) {
  const Image sheet = load_image(sheet_path);
  const json cells = sheet_text(sheet_path)["pictures"];
  REQUIRE(cells.size() == pictures.size());
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    INFO(pictures[i]);
    CHECK(cells[i]["there"] == true);
    CHECK(shows(sheet, cells[i]["x"], cells[i]["y"], load_image(pictures[i])));
  }
}

TEST_CASE("a run's pictures on one sheet") {
  const TempDir dir;
  const auto args = quick({"-N", "4", "-o", "a.png", "--grid", "g.png"});
  const ProgramResult result = ldm_gen_in(dir, args);
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(lines(result.out).back() == "g.png");
  check_cells(dir / "g.png",
              {dir / "a-0001.png", dir / "a-0002.png", dir / "a-0003.png", dir / "a-0004.png"});
  const json text = sheet_text(dir / "g.png");
  CHECK(text["title"] == "a cat, sampler=ddim, steps=2, guidance-scale=3, 64x64");
  CHECK(text["pictures"][3]["label"] == "seed=8");
  const std::string sheet = slurp(dir / "g.png");
  CHECK(ldm_gen_in(dir, args).exit_code == 0);
  CHECK(slurp(dir / "g.png") == sheet);

  auto other = quick({"-N", "2", "-o", "b.png", "--grid", "g.png"});
  const ProgramResult refused = ldm_gen_in(dir, other);
  CHECK(refused.exit_code == 5);
  CHECK(refused.err.find("g.png: exists and holds something else") != std::string::npos);
  CHECK_FALSE(fs::exists(dir / "b-0001.png"));
  other.emplace_back("--overwrite");
  CHECK(ldm_gen_in(dir, other).exit_code == 0);
  CHECK(slurp(dir / "g.png") != sheet);
}

TEST_CASE("a sweep's sheet has its values on both axes, and what was there already") {
  const TempDir dir;
  const auto args = quick({"--sweep", "steps=1,2,3", "--sweep", "sampler=ddim,euler",
                           "--output-dir", "out", "--grid", "out/grid.png"});
  const ProgramResult result = ldm_gen_in(dir, args);
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(lines(result.out).size() == 7);
  std::vector<fs::path> pictures;
  for (int i = 0; i < 6; ++i) {
    pictures.push_back(dir / "out" / ("00000" + std::to_string(i) + "-5.png"));
  }
  check_cells(dir / "out" / "grid.png", pictures);
  const json text = sheet_text(dir / "out" / "grid.png");
  CHECK(text["rows"] == json({"steps=1", "steps=2", "steps=3"}));
  CHECK(text["columns"] == json({"sampler=ddim", "sampler=euler"}));
  // Rows below each other, columns beside each other.
  CHECK(text["pictures"][0]["y"] == text["pictures"][1]["y"]);
  CHECK(text["pictures"][1]["x"] > text["pictures"][0]["x"]);
  CHECK(text["pictures"][2]["x"] == text["pictures"][0]["x"]);
  CHECK(text["pictures"][2]["y"] > text["pictures"][0]["y"]);

  // A resumed batch reads what it finds: the same sheet.
  const std::string whole = slurp(dir / "out" / "grid.png");
  fs::remove(dir / "out" / "grid.png");
  fs::remove(pictures[3]);
  const ProgramResult resumed = ldm_gen_in(dir, args);
  REQUIRE(resumed.exit_code == 0);
  CHECK(lines(resumed.out) == std::vector<std::string>{"out/000003-5.png", "out/grid.png"});
  CHECK(slurp(dir / "out" / "grid.png") == whole);
}

TEST_CASE("a combination that cannot be is a crossed cell") {
  const TempDir dir;
  const ProgramResult result =
      ldm_gen_in(dir, quick({"--sweep", "eta=0,0.5", "--sweep", "sampler=ddim,euler",
                             "--output-dir", "out", "--keep-going", "--grid", "g.png"}));
  INFO(result.err);
  CHECK(result.exit_code == 8);
  const json cells = sheet_text(dir / "g.png")["pictures"];
  REQUIRE(cells.size() == 3);
  const Image sheet = load_image(dir / "g.png");
  const int x = cells[1]["x"];
  const int y = cells[2]["y"];
  const auto at = static_cast<std::size_t>(3 * (y * sheet.width + x));
  CHECK(sheet.rgb[at] == 0);
  CHECK(sheet.rgb[at + 3] == sheet.rgb[at + 6]);
  CHECK(sheet.rgb[at + 3] < 255);
  CHECK(sheet.rgb[at + 3] > 0);
}

TEST_CASE("sheets that cannot be are refused before anything is made") {
  const TempDir dir;
  const auto refused = [&dir](std::vector<std::string> more, const std::string& part, int code) {
    const ProgramResult result = ldm_gen_in(dir, quick(std::move(more)));
    INFO(result.err);
    CHECK(result.exit_code == code);
    CHECK(result.err.find(part) != std::string::npos);
  };
  refused({"-o", "a.png", "--grid", "a.png"}, "names another output too", 2);
  refused({"-o", "a.png", "--grid", "none/g.png"}, "none", 5);
  refused({"--output-dir", "out", "--shard", "0/2", "--grid", "g.png"}, "whole batch", 2);
  refused({"--jobs", "-", "--output-dir", "out", "--grid", "g.png"}, "stdin", 2);
  refused({"--output-dir", "out", "--grid", "out/000000-5.png"}, "one of the batch's pictures", 2);
  CHECK_FALSE(fs::exists(dir / "a.png"));
  CHECK_FALSE(fs::exists(dir / "g.png"));
}

}  // namespace
}  // namespace ldm::test
