#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ldm/io/png.h"

namespace ldm::app {

/// One setting of a picture, as text for people.
struct Setting {
  std::string name;
  std::string value;
};

/// What a picture's PNG text says of how it was made: the fields of "ldm-gen" (a request's own
/// names without prefix, nested fields as a.b), else those of the "parameters" text of other tools
/// under the same names where they have one, else every text entry as "png.KEY". The text may come
/// from anywhere: at most 256 settings of at most 64 KiB are kept. Error::input for "ldm-gen" text
/// that is no JSON object.
std::vector<Setting> recorded_settings(std::span<const PngText> text, const std::string& name);

/// The value of that name, or null.
const std::string* find_setting(std::span<const Setting> settings, std::string_view name);

/// A command that makes a picture again.
struct PictureCommand {
  std::string line;                ///< for a POSIX shell; empty when too little is recorded
  std::vector<std::string> notes;  ///< what a reader must put in place, or what could not be told
};

/// That command from a picture's settings. Only options that decide pictures are taken, never a
/// path, and only with values that ldm-gen accepts; files are named by capital letters and
/// explained in the notes.
PictureCommand picture_command(std::span<const Setting> settings);

}  // namespace ldm::app
