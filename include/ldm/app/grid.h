#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ldm/app/console.h"
#include "ldm/app/contact_sheet.h"
#include "ldm/app/jobs.h"
#include "ldm/app/metadata.h"

namespace ldm::app {

/// One picture of a run, as far as its place and its labels on a sheet need it.
struct GridPicture {
  const Options* options = nullptr;  ///< its job's
  std::uint64_t seed = 0;            ///< its own
  std::string job;                   ///< its `job_hash`
  std::size_t line = 0;              ///< number of what its job was read from
  std::size_t combination = 0;       ///< of the sweeps' values, the last changing fastest
  std::int64_t image = 0;            ///< k in its job
  int width = 0;
  int height = 0;
};

/// A sheet's content, and the cell of each picture.
struct GridPlan {
  SheetContent content;
  std::vector<std::size_t> cells;
};

/// With two swept options or more, the last one's values become columns, those of the one before it
/// rows, and all else blocks; with one, its values become columns and all else rows; with none
/// every picture is a block. Labels say in what pictures differ, the title what all have in common
/// (`shared` holds the values that the model decided).
GridPlan plan_grid(const std::vector<GridPicture>& pictures, const std::vector<SweepAxis>& axes,
                   const Options& shared);

/// The file of --grid.
class Grid {
 public:
  /// Throws Error::usage when so many pictures do not fit a sheet, Error::output for a file that
  /// cannot be written or holds something else (an earlier sheet of the same pictures may be
  /// replaced).
  Grid(std::filesystem::path file, const std::vector<GridPicture>& pictures,
       const std::vector<SweepAxis>& axes, const Options& shared, MetadataMode metadata,
       bool overwrite);

  const std::filesystem::path& file() const { return file_; }

  /// Draws the pictures, read one after the other by their numbers (none: its cell gets a cross),
  /// writes the sheet whole or not at all, and prints its path or the `grid` event. Error::output.
  void write(const std::function<std::optional<Image>(std::size_t)>& read, Console& console) const;

 private:
  std::vector<PngText> text(const SheetLayout& layout, const std::vector<bool>& there) const;

  std::filesystem::path file_;
  GridPlan plan_;
  std::string hash_;
  MetadataMode metadata_;
  bool overwrite_;
};

}  // namespace ldm::app
