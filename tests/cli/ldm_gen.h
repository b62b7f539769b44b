#pragma once

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "ldm/io/image.h"
#include "ldm/io/png.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

namespace ldm::test {

/// Runs the built ldm-gen.
inline ProgramResult ldm_gen(std::vector<std::string> args, const ProgramSetup& setup = {}) {
  args.insert(args.begin(), LDM_BINARY_DIR "/bin/ldm-gen");
  return run_program(args, setup);
}

/// The same, in the working folder `folder`.
inline ProgramResult ldm_gen_in(const TempDir& folder, std::vector<std::string> args) {
  ProgramSetup setup;
  setup.folder = folder.path();
  return ldm_gen(std::move(args), setup);
}

inline std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

/// The events of a --json run; a line that is not JSON throws.
inline std::vector<nlohmann::json> events(const std::string& out) {
  std::vector<nlohmann::json> list;
  for (const std::string& line : lines(out)) list.push_back(nlohmann::json::parse(line));
  return list;
}

/// The text entries of a PNG file.
inline std::vector<PngText> text_of(const std::filesystem::path& path) {
  const std::string bytes = slurp(path);
  return read_png_text(std::as_bytes(std::span(bytes)), path.string());
}

/// The settings that a picture records, or null.
inline nlohmann::json settings_of(const std::filesystem::path& path) {
  for (const PngText& text : text_of(path)) {
    if (text.key == "ldm-gen") return nlohmann::json::parse(text.value);
  }
  return nullptr;
}

/// A PNG file of a picture.
inline void write_png(const TempDir& dir, const std::string& name, const Image& image,
                      const std::vector<PngText>& text = {}) {
  const std::vector<std::byte> png = encode_png(image, text);
  dir.write(name, {reinterpret_cast<const char*>(png.data()), png.size()});
}

/// The largest difference in a channel of two pictures; 256 where their sizes differ.
inline int largest_difference(const Image& a, const Image& b) {
  if (a.rgb.size() != b.rgb.size()) return 256;
  int most = 0;
  for (std::size_t i = 0; i < a.rgb.size(); ++i)
    most = std::max(most, std::abs(a.rgb[i] - b.rgb[i]));
  return most;
}

/// Names of all files below a folder, sorted.
inline std::vector<std::string> files_below(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    names.push_back(std::filesystem::relative(entry.path(), folder).string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// The smallest model at hand: random weights, 64 x 64 pixels.
inline std::filesystem::path tiny_model() { return test_file("golden/runs/sd1"); }

/// A copy of a model whose files are links, so that a test can replace some.
inline std::filesystem::path linked_model(const TempDir& dir,
                                          const std::filesystem::path& source = LDM_SOURCE_DIR
                                          "/weights/default") {
  namespace fs = std::filesystem;
  const fs::path copy = dir / "model";
  for (const auto& entry : fs::recursive_directory_iterator(source)) {
    const fs::path target = copy / fs::relative(entry.path(), source);
    fs::create_directories(target.parent_path());
    if (entry.is_regular_file()) fs::create_symlink(entry.path(), target);
  }
  return copy;
}

/// Replaces a file of such a copy.
inline void replace_file(const std::filesystem::path& file, const std::string& bytes,
                         const TempDir& dir) {
  std::filesystem::remove(file);
  dir.write(std::filesystem::relative(file, dir.path()).string(), bytes);
}

}  // namespace ldm::test
