#include "ldm/app/contact_sheet.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "ldm/app/bitmap_font.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/resize.h"

namespace ldm::app {
namespace {

constexpr int kLeastPicture = 16;   ///< pixels that a picture may be narrowed to
constexpr int kLeastColumn = 96;    ///< pixels of a column of small pictures
constexpr int kPixelsPerDot = 160;  ///< of a picture's width
constexpr int kMostDot = 4;         ///< pixels
constexpr int kGapDots = 8;
constexpr std::size_t kMostLines = 3;  ///< of a label
constexpr std::size_t kRowLabel = 20;  ///< signs beside a row
constexpr std::uint8_t kWhite = 255;
constexpr std::uint8_t kGrey = 224;

std::size_t signs_in(int pixels, int dot) {
  return static_cast<std::size_t>(std::max(1, pixels / (kSignDots * dot)));
}

std::vector<std::string> wrapped(const std::string& text, int pixels, int dot) {
  return wrap_signs(font_signs(text), signs_in(pixels, dot), kMostLines);
}

int most_lines(const std::vector<std::string>& labels, int pixels, int dot) {
  std::size_t most = 0;
  for (const std::string& label : labels) {
    most = std::max(most, wrapped(label, pixels, dot).size());
    if (most == kMostLines) break;
  }
  return static_cast<int>(most);
}

int scaled(int length, double scale) {
  return std::max(1, static_cast<int>(std::lround(length * scale)));
}

/// Width and height of a block with the gap after it.
SheetLayout::Point block_size(const SheetLayout& layout) {
  const int labels = (layout.heading_lines + layout.column_label_lines) * layout.line();
  return {layout.row_label_width + layout.columns * (layout.column_width + layout.gap),
          labels + layout.rows * (layout.picture_height + layout.gap)};
}

/// Puts the blocks beside and below each other so that the longer side is shortest.
void arrange_blocks(SheetLayout& layout, int blocks, const std::string& title) {
  const SheetLayout::Point block = block_size(layout);
  std::int64_t best = std::numeric_limits<std::int64_t>::max();
  for (int across = 1; across <= blocks; ++across) {
    const int down = (blocks + across - 1) / across;
    const std::int64_t longer =
        std::max(std::int64_t{across} * block.x, std::int64_t{down} * block.y);
    if (longer >= best) continue;
    best = longer;
    layout.blocks_across = across;
  }
  const int down = (blocks + layout.blocks_across - 1) / layout.blocks_across;
  const std::int64_t width = layout.gap + std::int64_t{layout.blocks_across} * block.x;
  layout.width = static_cast<int>(std::min<std::int64_t>(width, 1 << 30));
  layout.title_lines =
      static_cast<int>(wrapped(title, layout.width - 2 * layout.gap, layout.dot).size());
  const int head = layout.title_lines > 0 ? layout.title_lines * layout.line() + layout.gap : 0;
  const std::int64_t height = layout.gap + head + std::int64_t{down} * block.y;
  layout.height = static_cast<int>(std::min<std::int64_t>(height, 1 << 30));
}

/// The layout with pictures narrowed to `width` pixels.
SheetLayout with_width(const SheetContent& content, int width) {
  SheetLayout layout;
  layout.rows = content.rows;
  layout.columns = content.columns;
  layout.scale = static_cast<double>(width) / content.width;
  layout.picture_width = width;
  layout.picture_height = scaled(content.height, layout.scale);
  layout.dot = std::clamp(width / kPixelsPerDot, 1, kMostDot);
  layout.gap = kGapDots * layout.dot;
  layout.column_width = width == content.width ? std::max(width, kLeastColumn) : width;
  std::size_t longest = 0;
  for (const std::string& label : content.row_labels) {
    longest = std::max(longest, font_signs(label).size());
  }
  if (longest > 0) {
    const auto signs = static_cast<int>(std::min(longest, kRowLabel));
    layout.row_label_width = signs * kSignDots * layout.dot + layout.gap;
  }
  layout.column_label_lines = most_lines(content.column_labels, layout.column_width, layout.dot);
  const int heading_width = block_size(layout).x - layout.gap;
  layout.heading_lines = most_lines(content.headings, heading_width, layout.dot);
  arrange_blocks(layout, static_cast<int>(content.headings.size()), content.title);
  return layout;
}

bool fits(const SheetLayout& layout) {
  return layout.width <= kMostSheetSide && layout.height <= kMostSheetSide;
}

}  // namespace

int SheetLayout::line() const { return kLineDots * dot; }

SheetLayout::Point SheetLayout::block(std::size_t number) const {
  const Point size = block_size(*this);
  const auto across = static_cast<std::size_t>(blocks_across);
  const int head = title_lines > 0 ? title_lines * line() + gap : 0;
  return {gap + static_cast<int>(number % across) * size.x,
          gap + head + static_cast<int>(number / across) * size.y};
}

SheetLayout::Point SheetLayout::cell(std::size_t number) const {
  const auto per_block = static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
  Point at = block(number / per_block);
  const auto within = static_cast<int>(number % per_block);
  at.x += row_label_width + within % columns * (column_width + gap);
  at.y += (heading_lines + column_label_lines) * line();
  at.y += within / columns * (picture_height + gap);
  return at;
}

SheetLayout lay_out_sheet(const SheetContent& content) {
  const std::int64_t cells = std::int64_t{content.rows} * content.columns *
                             static_cast<std::int64_t>(content.headings.size());
  // Beyond this no layout fits, and numbers stay small.
  constexpr std::int64_t kMostCells =
      std::int64_t{kMostSheetSide} * kMostSheetSide / (kLeastPicture * kLeastPicture);
  std::optional<SheetLayout> found;
  if (cells <= kMostCells) found = with_width(content, content.width);
  if (found && fits(*found)) return *found;
  int least = std::min(kLeastPicture, content.width);
  if (found) found = with_width(content, least);
  if (!found || !fits(*found)) {
    throw Error::usage(cat("--grid: ", cells, " pictures do not fit a sheet of ", kMostSheetSide,
                           "x", kMostSheetSide, " pixels"),
                       "leave --grid out and look at the folder with ldm-gen gallery");
  }
  // The widest that fits lies in [least, most).
  int most = content.width;
  while (most - least > 1) {
    const int middle = least + (most - least) / 2;
    (fits(with_width(content, middle)) ? least : most) = middle;
  }
  return with_width(content, least);
}

ContactSheet::ContactSheet(const SheetContent& content) : layout_(lay_out_sheet(content)) {
  image_.width = layout_.width;
  image_.height = layout_.height;
  image_.rgb.assign(
      static_cast<std::size_t>(layout_.width) * static_cast<std::size_t>(layout_.height) * 3,
      kWhite);
  draw_labels(content);
}

void ContactSheet::draw_lines(SheetLayout::Point at, const std::vector<std::string>& lines) {
  for (const std::string& line : lines) {
    draw_signs(image_, at.x, at.y, line, layout_.dot);
    at.y += layout_.line();
  }
}

void ContactSheet::draw_labels(const SheetContent& content) {
  draw_lines({layout_.gap, layout_.gap},
             wrapped(content.title, layout_.width - 2 * layout_.gap, layout_.dot));
  for (std::size_t i = 0; i < content.headings.size(); ++i) draw_block(content, i);
}

void ContactSheet::draw_block(const SheetContent& content, std::size_t number) {
  const SheetLayout::Point block = layout_.block(number);
  draw_lines(block,
             wrapped(content.headings[number], block_size(layout_).x - layout_.gap, layout_.dot));
  const auto columns = static_cast<std::size_t>(layout_.columns);
  const std::size_t first = number * static_cast<std::size_t>(layout_.rows) * columns;
  for (std::size_t column = 0; column < content.column_labels.size(); ++column) {
    draw_lines({layout_.cell(first + column).x, block.y + layout_.heading_lines * layout_.line()},
               wrapped(content.column_labels[column], layout_.column_width, layout_.dot));
  }
  for (std::size_t row = 0; row < content.row_labels.size(); ++row) {
    draw_lines(
        {block.x, layout_.cell(first + row * columns).y},
        wrapped(content.row_labels[row], layout_.row_label_width - layout_.gap, layout_.dot));
  }
  for (std::size_t k = 0; k < static_cast<std::size_t>(layout_.rows) * columns; ++k) {
    draw_absence(first + k);
  }
}

/// A grey field with a cross.
void ContactSheet::draw_absence(std::size_t cell) {
  const SheetLayout::Point at = layout_.cell(cell);
  for (int y = 0; y < layout_.picture_height; ++y) {
    const auto row = static_cast<std::ptrdiff_t>(at.y + y) * image_.width + at.x;
    std::fill_n(image_.rgb.begin() + 3 * row, 3 * layout_.picture_width, kGrey);
    const int x = y * (layout_.picture_width - 1) / std::max(1, layout_.picture_height - 1);
    for (const int dark : {x, layout_.picture_width - 1 - x}) {
      std::fill_n(image_.rgb.begin() + 3 * (row + dark), 3, std::uint8_t{0});
    }
  }
}

void ContactSheet::put(std::size_t cell, const Image& picture) {
  const SheetLayout::Point at = layout_.cell(cell);
  Image small;
  if (layout_.scale < 1) {
    small = resize_lanczos(picture, scaled(picture.width, layout_.scale),
                           scaled(picture.height, layout_.scale));
  }
  const Image& shown = layout_.scale < 1 ? small : picture;
  const int width = std::min(shown.width, layout_.picture_width);
  const int height = std::min(shown.height, layout_.picture_height);
  for (int y = 0; y < layout_.picture_height; ++y) {
    const auto to = static_cast<std::ptrdiff_t>(at.y + y) * image_.width + at.x;
    std::fill_n(image_.rgb.begin() + 3 * to, 3 * layout_.picture_width, kWhite);
    if (y >= height) continue;
    const auto from = static_cast<std::ptrdiff_t>(y) * shown.width;
    std::copy_n(shown.rgb.begin() + 3 * from, 3 * width, image_.rgb.begin() + 3 * to);
  }
}

}  // namespace ldm::app
