#include "ldm/app/grid.h"

#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <utility>

#include "ldm/app/events.h"
#include "ldm/app/option_values.h"
#include "ldm/app/output_paths.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/core/version.h"
#include "ldm/io/file.h"
#include "ldm/io/hash.h"
#include "ldm/io/json.h"
#include "ldm/io/png.h"

namespace ldm::app {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Values = std::map<std::string, std::string>;  // by long option

constexpr const char* kTextKey = "ldm-gen-grid";
constexpr std::string_view kPrompt = "prompt";

/// An option's value for a label; of files only their names.
std::string value_text(const OptionSpec& spec, const Options& options) {
  const Json value = get_as_json(spec, options);
  if (value.is_null()) return {};
  if (value.is_number_float()) return number_text(value.get<double>());
  if (!value.is_string()) return value.dump();
  return spec.value == "FILE" ? fs::path(value.get<std::string>()).filename().string()
                              : value.get<std::string>();
}

Values values_of(const GridPicture& picture) {
  Values values;
  for (const OptionSpec& spec : option_table()) {
    const std::string key = option_key(spec);
    if (key != "output" && key != "num_images" && is_job_option(spec)) {
      values[long_flag(spec).substr(2)] = value_text(spec, *picture.options);
    }
  }
  values["seed"] = std::to_string(picture.seed);
  return values;
}

/// The options in which pictures differ.
std::set<std::string> differing_keys(const std::vector<GridPicture>& pictures) {
  std::set<std::string> keys;
  const Values first = values_of(pictures.front());
  for (const GridPicture& picture : pictures) {
    for (const auto& [key, value] : values_of(picture)) {
      if (first.at(key) != value) keys.insert(key);
    }
  }
  return keys;
}

/// "a cat, seed=5, steps=20": the prompt speaks for itself.
std::string label_of(const GridPicture& picture, const std::set<std::string>& keys) {
  const Values values = values_of(picture);
  std::vector<std::string> parts;
  if (keys.contains(std::string(kPrompt))) parts.push_back(values.at(std::string(kPrompt)));
  for (const std::string& key : keys) {
    if (key != kPrompt && !values.at(key).empty()) parts.push_back(cat(key, "=", values.at(key)));
  }
  return join(parts, ", ");
}

std::vector<std::string> axis_labels(const SweepAxis& axis) {
  std::vector<std::string> labels;
  for (const std::string& value : axis.values) {
    labels.push_back(axis.key == kPrompt ? value : cat(axis.key, "=", value));
  }
  return labels;
}

std::string title_of(const GridPicture& first, const Options& shared,
                     const std::set<std::string>& differing) {
  constexpr std::array<std::string_view, 7> kShown = {
      "prompt", "class", "seed", "sampler", "steps", "guidance-scale", "strength"};
  GridPicture resolved = first;
  resolved.options = &shared;
  std::vector<std::string> parts;
  for (const std::string_view key : kShown) {
    const std::string name(key);
    if (!differing.contains(name)) parts.push_back(label_of(resolved, {name}));
  }
  if (!differing.contains("width") && !differing.contains("height")) {
    parts.push_back(cat(first.width, "x", first.height));
  }
  std::erase(parts, "");
  return join(parts, ", ");
}

/// Numbers things in the order in which they are first seen.
template <typename Key>
class Numbering {
 public:
  std::pair<std::size_t, bool> number(const Key& key) {
    const auto [entry, fresh] = numbers_.emplace(key, numbers_.size());
    return {entry->second, fresh};
  }

 private:
  std::map<Key, std::size_t> numbers_;
};

using Origin = std::pair<std::size_t, std::int64_t>;  // line and image

void plan_blocks(GridPlan& plan, const std::vector<GridPicture>& pictures,
                 const std::set<std::string>& keys) {
  const auto columns = static_cast<std::size_t>(plan.content.columns);
  const std::size_t cells = columns * static_cast<std::size_t>(plan.content.rows);
  Numbering<std::pair<Origin, std::size_t>> blocks;
  for (const GridPicture& picture : pictures) {
    const Origin origin = {picture.line, picture.image};
    const auto [block, fresh] = blocks.number({origin, picture.combination / cells});
    if (fresh) plan.content.headings.push_back(label_of(picture, keys));
    plan.cells.push_back(block * cells + picture.combination % cells);
  }
}

void plan_rows(GridPlan& plan, const std::vector<GridPicture>& pictures,
               const std::set<std::string>& keys) {
  plan.content.headings = {""};
  Numbering<Origin> rows;
  for (const GridPicture& picture : pictures) {
    const auto [row, fresh] = rows.number({picture.line, picture.image});
    if (fresh) plan.content.row_labels.push_back(label_of(picture, keys));
    plan.cells.push_back(row * static_cast<std::size_t>(plan.content.columns) +
                         picture.combination);
  }
  plan.content.rows = static_cast<int>(plan.content.row_labels.size());
  if (plan.content.rows == 1) plan.content.row_labels.clear();
}

void plan_singles(GridPlan& plan, const std::vector<GridPicture>& pictures,
                  std::set<std::string> keys) {
  if (keys.empty()) keys.insert("seed");
  for (const GridPicture& picture : pictures) {
    plan.cells.push_back(plan.cells.size());
    plan.content.headings.push_back(label_of(picture, keys));
  }
}

/// Of what decides a sheet: its pictures' jobs and their order.
std::string sheet_hash(const std::vector<GridPicture>& pictures, const GridPlan& plan) {
  std::string text;
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    text += cat(plan.cells[i], " ", pictures[i].job, "\n");
  }
  return sha256_hex(text);
}

/// Whether a file is a sheet of that hash.
bool records_sheet(const fs::path& file, const std::string& hash) {
  try {
    const std::string bytes = read_small_file(file, kMaxImageBytes * 4);
    for (const PngText& text : read_png_text(std::as_bytes(std::span(bytes)), file.string())) {
      if (text.key != kTextKey) continue;
      JsonLimits limits;
      limits.max_bytes = bytes.size();
      const nlohmann::json json = parse_json(text.value, limits, file.string());
      return json.value("sheet", nlohmann::json()) == hash;
    }
  } catch (const Error&) {
    return false;
  }
  return false;
}

}  // namespace

GridPlan plan_grid(const std::vector<GridPicture>& pictures, const std::vector<SweepAxis>& axes,
                   const Options& shared) {
  GridPlan plan;
  if (pictures.empty()) throw Error::usage("--grid: there is no picture to show");
  for (const GridPicture& picture : pictures) {
    plan.content.width = std::max(plan.content.width, picture.width);
    plan.content.height = std::max(plan.content.height, picture.height);
  }
  std::set<std::string> keys = differing_keys(pictures);
  for (const SweepAxis& axis : axes) keys.insert(axis.key);
  plan.content.title = title_of(pictures.front(), shared, keys);
  if (axes.empty()) {
    plan_singles(plan, pictures, keys);
    return plan;
  }
  plan.content.column_labels = axis_labels(axes.back());
  plan.content.columns = static_cast<int>(axes.back().values.size());
  keys.erase(axes.back().key);
  if (axes.size() == 1) {
    plan_rows(plan, pictures, keys);
    return plan;
  }
  const SweepAxis& down = axes[axes.size() - 2];
  plan.content.row_labels = axis_labels(down);
  plan.content.rows = static_cast<int>(down.values.size());
  keys.erase(down.key);
  plan_blocks(plan, pictures, keys);
  return plan;
}

Grid::Grid(fs::path file, const std::vector<GridPicture>& pictures,
           const std::vector<SweepAxis>& axes, const Options& shared, MetadataMode metadata,
           bool overwrite)
    : file_(std::move(file)),
      plan_(plan_grid(pictures, axes, shared)),
      hash_(sheet_hash(pictures, plan_)),
      metadata_(metadata),
      overwrite_(overwrite) {
  lay_out_sheet(plan_.content);
  check_output_folders({file_});
  // A sheet that says nothing of itself can only be compared when the new one is drawn.
  if (overwrite_ || metadata_ == MetadataMode::kNone) return;
  if (check_existing({file_}, [this](std::size_t) { return records_sheet(file_, hash_); })) {
    overwrite_ = true;
  }
}

std::vector<PngText> Grid::text(const SheetLayout& layout, const std::vector<bool>& there) const {
  if (metadata_ == MetadataMode::kNone) return {};
  Json sheet = {{"schema", 1}, {"sheet", hash_}, {"version", version()}};
  sheet["title"] = plan_.content.title;
  sheet["rows"] = plan_.content.row_labels;
  sheet["columns"] = plan_.content.column_labels;
  sheet["scale"] = layout.scale;
  Json cells = Json::array();
  const auto per_block = static_cast<std::size_t>(layout.rows * layout.columns);
  for (std::size_t i = 0; i < plan_.cells.size(); ++i) {
    const SheetLayout::Point at = layout.cell(plan_.cells[i]);
    cells.push_back({{"index", i},
                     {"x", at.x},
                     {"y", at.y},
                     {"label", plan_.content.headings[plan_.cells[i] / per_block]},
                     {"there", static_cast<bool>(there[i])}});
  }
  sheet["pictures"] = std::move(cells);
  return {{"Description", plan_.content.title},
          {kTextKey, sheet.dump(-1, ' ', false, Json::error_handler_t::replace)}};
}

void Grid::write(const std::function<std::optional<Image>(std::size_t)>& read,
                 Console& console) const {
  ContactSheet sheet(plan_.content);
  std::vector<bool> there(plan_.cells.size(), false);
  std::int64_t shown = 0;
  for (std::size_t i = 0; i < there.size(); ++i) {
    const std::optional<Image> picture = read(i);
    if (!picture) continue;
    sheet.put(plan_.cells[i], *picture);
    there[i] = true;
    ++shown;
  }
  const std::vector<std::byte> png = encode_png(sheet.image(), text(sheet.layout(), there));
  verify_png(png, "the new sheet");
  write_file_atomic(file_, png, overwrite_ ? IfExists::kReplace : IfExists::kKeepIdentical);
  if (console.json) {
    console.event(
        grid_event(file_, shown, static_cast<std::int64_t>(there.size()) - shown, sha256_hex(png)));
  } else {
    console.result(file_.string());
  }
}

}  // namespace ldm::app
