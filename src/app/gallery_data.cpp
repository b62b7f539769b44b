#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <unordered_map>

#include "ldm/app/gallery.h"
#include "ldm/app/gallery_page.h"
#include "ldm/core/text.h"
#include "ldm/io/base64.h"
#include "ldm/io/hash.h"
#include "ldm/io/png.h"
#include "ldm/io/png_chunks.h"
#include "ldm/io/resize.h"

namespace ldm::app {
namespace {

using Json = nlohmann::ordered_json;

/// Longer side of a small picture.
constexpr int kThumbnail = 160;
constexpr std::string_view kBeginning = "<!doctype html>\n<!-- ldm-gen gallery -->\n";

/// A list of strings, each kept once.
class Dictionary {
 public:
  std::size_t number(const std::string& text) {
    const auto [found, is_new] = numbers_.try_emplace(text, list.size());
    if (is_new) list.push_back(text);
    return found->second;
  }

  Json list = Json::array();

 private:
  std::unordered_map<std::string, std::size_t> numbers_;
};

/// 'sha256-…' of a content security policy.
std::string policy_hash(std::string_view text) {
  const std::string hex = sha256_hex(text);
  std::vector<std::byte> digest;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    digest.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return "'sha256-" + base64(digest) + "'";
}

std::string whole_script() { return cat(gallery_script(), gallery_view_script()); }

Json picture_row(const GalleryPicture& picture, std::string_view prefix, Dictionary& keys,
                 Dictionary& values) {
  Json settings = Json::array();
  for (const Setting& setting : picture.settings) {
    settings.push_back(keys.number(setting.name));
    settings.push_back(values.number(setting.value));
  }
  Json row;
  row["f"] = escape_control(picture.file);
  row["u"] = cat(prefix, relative_url(picture.file));
  row["w"] = picture.width;
  row["h"] = picture.height;
  row["b"] = picture.bytes;
  row["s"] = std::move(settings);
  const PictureCommand command = picture_command(picture.settings);
  row["c"] = command.line;
  if (!command.notes.empty()) row["n"] = command.notes;
  return row;
}

}  // namespace

GalleryPicture read_gallery_picture(std::span<const std::byte> png, const std::string& file) {
  const PngLayout layout = scan_png(png, file);
  GalleryPicture out;
  out.file = file;
  out.width = layout.width;
  out.height = layout.height;
  out.bytes = png.size();
  out.settings = recorded_settings(read_png_text(png, file), file);
  return out;
}

std::string relative_url(std::string_view path) {
  std::string out;
  for (const char c : path) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter || std::string_view("-._~/").find(c) != std::string_view::npos) {
      out += c;
    } else {
      std::array<char, 4> code{};
      std::snprintf(code.data(), code.size(), "%%%02X", static_cast<unsigned char>(c));
      out += code.data();
    }
  }
  return out;
}

Json gallery_data(std::string_view folder, std::string_view prefix,
                  std::span<const GalleryPicture> pictures, std::span<const BrokenPicture> broken,
                  std::size_t links) {
  Dictionary keys;
  Dictionary values;
  Json rows = Json::array();
  for (const GalleryPicture& picture : pictures) {
    rows.push_back(picture_row(picture, prefix, keys, values));
  }
  Json lost = Json::array();
  for (const BrokenPicture& file : broken) {
    lost.push_back({{"f", escape_control(file.file)}, {"why", file.why}});
  }
  Json out;
  out["schema"] = 1;
  out["folder"] = escape_control(folder);
  out["keys"] = std::move(keys.list);
  out["values"] = std::move(values.list);
  out["pictures"] = std::move(rows);
  out["broken"] = std::move(lost);
  out["links"] = links;
  return out;
}

std::string script_json(const Json& json) {
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (c == '<') {
      out += "\\u003c";
    } else {
      out += c;
    }
  }
  return out;
}

std::string gallery_head() {
  return cat(kBeginning, "<html lang=\"en\"><head><meta charset=\"utf-8\">\n",
             "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; ",
             "base-uri 'none'; form-action 'none'; img-src 'self' data: file:; style-src ",
             policy_hash(gallery_style()), "; script-src ", policy_hash(whole_script()), "\">\n",
             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
             "<title>Pictures</title>\n<style>", gallery_style(), "</style></head>\n<body>",
             gallery_body());
}

std::string gallery_tail() {
  return cat("<script>", whole_script(), "</script>\n</body></html>\n");
}

bool is_gallery(std::string_view beginning) { return beginning.starts_with(kBeginning); }

std::string thumbnail_uri(const Image& image) {
  const int longer = std::max(image.width, image.height);
  const double scale = std::min(1.0, static_cast<double>(kThumbnail) / longer);
  const auto side = [&](int length) { return std::max(1, static_cast<int>(length * scale + 0.5)); };
  const Image small =
      scale < 1 ? resize_lanczos(image, side(image.width), side(image.height)) : image;
  return "data:image/png;base64," + base64(encode_png(small));
}

}  // namespace ldm::app
