#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/train/dataset.h"

namespace ldm::train {

/// The kinds behind `open_dataset`.
std::unique_ptr<Dataset> open_picture_folder(const std::filesystem::path& folder,
                                             const DatasetOptions& options);
std::unique_ptr<Dataset> open_shards(std::vector<std::filesystem::path> shards,
                                     const DatasetOptions& options);

/// Whether the name ends like a PNG or JPEG file's, in any case.
bool has_picture_suffix(std::string_view name);

/// `text` without the line ends and spaces around it; Error::input naming `where` unless UTF-8.
std::string clean_caption(std::string_view text, const std::string& where);

/// Reads one metadata object into `example`: `text` or `caption`, `class_label`, and all that is
/// neither of these nor `file_name` as attributes. Error::input beginning with `where` for text
/// that is no JSON object and for values of the wrong kind.
void take_metadata(std::string_view text, const std::string& where, Example& example);

}  // namespace ldm::train
