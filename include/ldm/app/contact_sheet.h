#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "ldm/io/image.h"

namespace ldm::app {

/// Longest side of a contact sheet in pixels; pictures are made smaller where it would pass it.
inline constexpr int kMostSheetSide = 8192;

/// What a contact sheet shows: blocks of cells in rows and columns, one picture a cell. A sheet of
/// single pictures has a block for each.
struct SheetContent {
  std::string title;
  int rows = 1;                            ///< of a block
  int columns = 1;                         ///< of a block
  std::vector<std::string> row_labels;     ///< beside the rows; empty: none
  std::vector<std::string> column_labels;  ///< above the columns; empty: none
  std::vector<std::string> headings;       ///< one a block
  int width = 0;                           ///< of the widest picture in pixels
  int height = 0;                          ///< of the highest
};

/// Where on a sheet its parts are, in pixels.
struct SheetLayout {
  struct Point {
    int x = 0;
    int y = 0;
  };

  int width = 0;
  int height = 0;
  double scale = 1;        ///< of the pictures
  int dot = 1;             ///< pixels a dot of the font
  int gap = 0;             ///< between pictures
  int picture_width = 0;   ///< of the widest, as drawn
  int picture_height = 0;  ///< of the highest, as drawn
  int column_width = 0;    ///< of a cell without its gap
  int row_label_width = 0;
  int title_lines = 0;
  int heading_lines = 0;
  int column_label_lines = 0;
  int blocks_across = 1;
  int rows = 1;
  int columns = 1;

  int line() const;
  Point block(std::size_t number) const;
  /// Upper left corner of the picture in cell `number`: rows of a block first, then blocks.
  Point cell(std::size_t number) const;
};

/// Lays a sheet out, as square as may be. Throws Error::usage when so many pictures do not fit.
SheetLayout lay_out_sheet(const SheetContent& content);

/// A sheet being drawn. Its memory does not depend on the number of its pictures.
class ContactSheet {
 public:
  /// Draws all labels, and every cell as one without a picture.
  explicit ContactSheet(const SheetContent& content);

  /// Draws a picture into a cell, once.
  void put(std::size_t cell, const Image& picture);

  const SheetLayout& layout() const { return layout_; }
  const Image& image() const { return image_; }

 private:
  void draw_labels(const SheetContent& content);
  void draw_block(const SheetContent& content, std::size_t number);
  void draw_lines(SheetLayout::Point at, const std::vector<std::string>& lines);
  void draw_absence(std::size_t cell);

  SheetLayout layout_;
  Image image_;
};

}  // namespace ldm::app
