#pragma once

#include <nlohmann/json.hpp>
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

/// The JSON object of a picture's "ldm-gen" text. Error::input naming `name` where it is none.
nlohmann::json parse_settings(const std::string& text, const std::string& name);

/// The value of that name, or null.
const std::string* find_setting(std::span<const Setting> settings, std::string_view name);

/// An option that decides pictures and names no file; the value that may be left out, whatever the
/// model, or a line break.
struct DecidingOption {
  std::string_view key;
  std::string_view neutral;
};
std::span<const DecidingOption> deciding_options();

/// A file that a picture was made from, of which it records only the hash.
struct RecordedFile {
  std::string_view hash;  ///< the setting, "init_image_sha256"
  std::string_view flag;
  std::string_view placeholder;
};
std::span<const RecordedFile> recorded_files();

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
