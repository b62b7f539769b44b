#include "ldm/app/contact_sheet.h"

#include <algorithm>

#include "ldm/app/bitmap_font.h"
#include "ldm/app/grid.h"
#include "ldm/core/error.h"
#include "tests/support/catch.h"

namespace ldm::app {
namespace {

Image plain(int width, int height, std::uint8_t shade) {
  Image image{width, height, {}};
  image.rgb.assign(static_cast<std::size_t>(width * height * 3), shade);
  return image;
}

std::uint8_t red(const Image& image, int x, int y) {
  return image.rgb[static_cast<std::size_t>(3 * (y * image.width + x))];
}

SheetContent singles(int count, int width, int height) {
  SheetContent content;
  content.title = "title";
  for (int i = 0; i < count; ++i) content.headings.push_back("seed=" + std::to_string(i));
  content.width = width;
  content.height = height;
  return content;
}

bool overlap(SheetLayout::Point a, SheetLayout::Point b, const SheetLayout& layout) {
  return std::abs(a.x - b.x) < layout.picture_width && std::abs(a.y - b.y) < layout.picture_height;
}

TEST_CASE("signs stand for code points; what the font lacks is a box") {
  CHECK(font_signs("a~b") == "a~b");
  CHECK(font_signs("caf\u00e9 \u732b\U0001F431!") == "caf\x7f \x7f\x7f!");
  CHECK(font_signs("a\nb\tc") == "a b c");
}

TEST_CASE("text is wrapped at blanks and cut with two dots") {
  using Lines = std::vector<std::string>;
  CHECK(wrap_signs("a red apple", 20, 3) == Lines{"a red apple"});
  CHECK(wrap_signs("a red apple", 6, 3) == Lines{"a red", "apple"});
  CHECK(wrap_signs("a red apple", 6, 1) == Lines{"a re.."});
  CHECK(wrap_signs("abcdefgh", 3, 2) == Lines{"abc", "d.."});
  CHECK(wrap_signs("abc", 1, 2) == Lines{"a", "."});
  CHECK(wrap_signs("", 5, 3).empty());
}

TEST_CASE("drawn text stays within its line, scaled, and is clipped at the edges") {
  Image image = plain(40, 12, 255);
  draw_signs(image, 2, 1, "|", 1);
  CHECK(red(image, 4, 1) == 0);
  CHECK(red(image, 4, 7) == 0);
  CHECK(red(image, 4, 8) == 255);
  CHECK(red(image, 3, 1) == 255);
  Image large = plain(40, 20, 255);
  draw_signs(large, 0, 0, "|", 2);
  CHECK(red(large, 4, 0) == 0);
  CHECK(red(large, 5, 13) == 0);
  CHECK(red(large, 6, 0) == 255);
  draw_signs(large, -3, -3, "W", 4);
  draw_signs(large, 38, 18, "W", 4);
}

TEST_CASE("every printable sign is drawn, and no two alike") {
  std::vector<std::vector<std::uint8_t>> drawn;
  for (char sign = ' '; sign < '\x7f'; ++sign) {
    Image image = plain(kSignDots, kLineDots, 255);
    draw_signs(image, 0, 0, std::string(1, sign), 1);
    drawn.push_back(image.rgb);
  }
  std::sort(drawn.begin(), drawn.end());
  CHECK(std::adjacent_find(drawn.begin(), drawn.end()) == drawn.end());
}

TEST_CASE("a sheet is about square, its cells apart and inside") {
  for (const int count : {1, 2, 4, 7, 30}) {
    INFO(count);
    const SheetLayout layout = lay_out_sheet(singles(count, 64, 64));
    CHECK(layout.scale == 1);
    std::vector<SheetLayout::Point> cells;
    for (int i = 0; i < count; ++i) {
      const SheetLayout::Point at = layout.cell(static_cast<std::size_t>(i));
      CHECK(at.x >= 0);
      CHECK(at.y >= layout.heading_lines * layout.line());
      CHECK(at.x + layout.picture_width <= layout.width);
      CHECK(at.y + layout.picture_height <= layout.height);
      for (const SheetLayout::Point other : cells) CHECK_FALSE(overlap(at, other, layout));
      cells.push_back(at);
    }
  }
  const SheetLayout four = lay_out_sheet(singles(4, 512, 512));
  CHECK(four.blocks_across == 2);
  CHECK(four.cell(1).y == four.cell(0).y);
  CHECK(four.cell(2).x == four.cell(0).x);
}

TEST_CASE("a sheet that would be too large shows its pictures smaller") {
  for (const int count : {5, 100, 10000}) {
    INFO(count);
    const SheetLayout layout = lay_out_sheet(singles(count, 4096, 2048));
    CHECK(layout.scale < 1);
    CHECK(layout.width <= kMostSheetSide);
    CHECK(layout.height <= kMostSheetSide);
    CHECK(std::max(layout.width, layout.height) > kMostSheetSide / 2);
    CHECK(std::abs(layout.picture_width - 2 * layout.picture_height) <= 1);
  }
  CHECK_THROWS_AS(lay_out_sheet(singles(300000, 64, 64)), Error);
  CHECK_THROWS_AS(lay_out_sheet(singles(150000, 64, 64)), Error);
}

TEST_CASE("pictures are drawn as they are where they fit") {
  SheetContent content;
  content.rows = 2;
  content.columns = 2;
  content.row_labels = {"steps=1", "steps=2"};
  content.column_labels = {"a", "b"};
  content.headings = {"one", "two"};
  content.width = 20;
  content.height = 10;
  ContactSheet sheet(content);
  CHECK(sheet.layout().cell(3).x > sheet.layout().cell(2).x);
  CHECK(sheet.layout().cell(2).x >= sheet.layout().row_label_width);
  const SheetLayout::Point absent = sheet.layout().cell(7);
  CHECK(red(sheet.image(), absent.x + 1, absent.y + 5) < 255);
  sheet.put(5, plain(20, 10, 77));
  sheet.put(6, plain(8, 4, 78));
  const SheetLayout::Point at = sheet.layout().cell(5);
  CHECK(red(sheet.image(), at.x, at.y) == 77);
  CHECK(red(sheet.image(), at.x + 19, at.y + 9) == 77);
  const SheetLayout::Point small = sheet.layout().cell(6);
  CHECK(red(sheet.image(), small.x + 7, small.y + 3) == 78);
  CHECK(red(sheet.image(), small.x + 8, small.y) == 255);
  CHECK(red(sheet.image(), small.x, small.y + 4) == 255);
}

/// Options of a job, kept for pictures to point to.
Options job(const std::string& prompt, std::int64_t steps) {
  Options options;
  options.prompt = prompt;
  options.steps = steps;
  options.sampler = "ddim";
  return options;
}

GridPicture picture(const Options& options, std::uint64_t seed, std::size_t line,
                    std::size_t combination, std::int64_t image = 0) {
  return {&options, seed, "job", line, combination, image, 64, 64};
}

TEST_CASE("a sheet without a sweep says in what its pictures differ") {
  const Options cat = job("a cat", 20), dog = job("a dog", 20), fast = job("a dog", 4);
  const GridPlan plan =
      plan_grid({picture(cat, 1, 0, 0), picture(dog, 2, 1, 0), picture(fast, 2, 2, 0)}, {}, cat);
  CHECK(plan.content.title == "sampler=ddim, 64x64");
  CHECK(plan.content.headings == std::vector<std::string>{"a cat, seed=1, steps=20",
                                                          "a dog, seed=2, steps=20",
                                                          "a dog, seed=2, steps=4"});
  CHECK(plan.cells == std::vector<std::size_t>{0, 1, 2});
  const GridPlan one = plan_grid({picture(cat, 9, 0, 0)}, {}, cat);
  CHECK(one.content.headings == std::vector<std::string>{"seed=9"});
}

TEST_CASE("swept values are axes; what is left over makes rows or blocks") {
  const Options few = job("a cat", 2), many = job("a cat", 4);
  const SweepAxis steps{"steps", {"2", "4"}}, sampler{"sampler", {"ddim", "euler", "pndm"}};
  const GridPlan rows = plan_grid({picture(few, 5, 0, 0), picture(few, 6, 0, 0, 1),
                                   picture(many, 5, 0, 1), picture(many, 6, 0, 1, 1)},
                                  {steps}, few);
  CHECK(rows.content.columns == 2);
  CHECK(rows.content.rows == 2);
  CHECK(rows.content.row_labels == std::vector<std::string>{"seed=5", "seed=6"});
  CHECK(rows.content.column_labels == std::vector<std::string>{"steps=2", "steps=4"});
  CHECK(rows.cells == std::vector<std::size_t>{0, 2, 1, 3});

  const GridPlan both =
      plan_grid({picture(few, 5, 0, 0), picture(few, 5, 0, 2), picture(many, 5, 0, 3)},
                {steps, sampler}, few);
  CHECK(both.content.rows == 2);
  CHECK(both.content.columns == 3);
  CHECK(both.content.headings == std::vector<std::string>{""});
  CHECK(both.cells == std::vector<std::size_t>{0, 2, 3});

  const Options strong = [] {
    Options options = job("a cat", 2);
    options.guidance_scale = 9;
    return options;
  }();
  const SweepAxis guidance{"guidance-scale", {"3", "9"}};
  const GridPlan blocks =
      plan_grid({picture(few, 5, 0, 0), picture(strong, 5, 0, 6)}, {guidance, steps, sampler}, few);
  CHECK(blocks.content.headings.size() == 2);
  CHECK(blocks.content.headings[1] == "guidance-scale=9");
  CHECK(blocks.cells == std::vector<std::size_t>{0, 6});
}

}  // namespace
}  // namespace ldm::app
