#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "ldm/io/image.h"

namespace ldm::train {

/// One picture and what is said about it.
struct Example {
  Image picture;        ///< empty from `Dataset::describe`
  std::string caption;  ///< empty where none was asked for
  std::optional<std::int64_t> class_label;
  std::string name;           ///< as `Dataset::name`
  nlohmann::json attributes;  ///< the other fields of the picture's metadata, an object
};

/// Captioned pictures by number. Everything but the pictures themselves is checked at opening.
/// Const members may be used by several threads at once.
class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual std::int64_t size() const = 0;
  /// What messages call the picture: "FOLDER/a.png", "shard.tar/000123.png".
  virtual std::string name(std::int64_t index) const = 0;
  /// The example without its picture, which is not even read.
  virtual Example describe(std::int64_t index) const = 0;
  /// The whole example. Throws Error::input when the picture cannot be read or decoded.
  virtual Example read(std::int64_t index) const = 0;
};

/// What examples must have.
struct DatasetOptions {
  bool captions = true;       ///< each needs one; without, metadata is not even looked for
  bool class_labels = false;  ///< each needs an integer `class_label` (`.cls` in shards)
};

/// Opens one of three kinds of data set by what lies at `path`.
///
/// - A folder of PNG and JPEG files, at any depth, in the order of their names. Captions and
///   attributes come from `metadata.jsonl` or `captions.jsonl` at its top (a line an object with
///   `file_name` and `text` or `caption`: Hugging Face's imagefolder convention), otherwise from a
///   `.txt` file beside each picture. Files and folders whose name begins with a dot are passed by.
/// - A folder of `.tar` shards, in the order of their names, or a single one.
/// - A `.txt` list with the path of one shard a line, relative to the list.
///
/// Shards follow the webdataset convention: files that share the name before the first dot make an
/// example (`key.png` or `.jpg`; `key.txt` or a `text` field of `key.json`; `key.cls`). Only their
/// headers are read at opening.
///
/// Throws Error::input for an empty data set, a metadata line that is no such object ("FILE:LINE:
/// …"), a picture that is missing, named twice or lies outside the folder, a picture without
/// caption, text that is not UTF-8, a damaged shard.
std::unique_ptr<Dataset> open_dataset(const std::filesystem::path& path,
                                      const DatasetOptions& options = {});

}  // namespace ldm::train
