#include "ldm/io/sniff.h"

#include <algorithm>

namespace ldm {
namespace {

bool starts_with_ignoring_case(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() &&
         std::equal(prefix.begin(), prefix.end(), text.begin(),
                    [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b + 32 : b); });
}

}  // namespace

std::optional<Error> foreign_weights(std::string_view start) {
  using namespace std::string_view_literals;
  if (start.starts_with("version https://git-lfs")) {
    return Error::model_rule("E_ST_LFS", "this is a git-lfs pointer, not the weights",
                             "run `git lfs pull` in that folder");
  }
  const std::size_t text = start.find_first_not_of(" \t\r\n");
  const std::string_view body = text == std::string_view::npos ? start : start.substr(text);
  if (starts_with_ignoring_case(body, "<!doctype") || starts_with_ignoring_case(body, "<html")) {
    return Error::model_rule("E_ST_HTML", "this is a web page, not the weights",
                             "the download failed; get the file itself");
  }
  if (start.starts_with("PK\x03\x04"sv)) {
    return Error::model_rule("E_ST_ZIP",
                             "this is a zip file (a torch checkpoint?), not safetensors",
                             "name it .ckpt, or convert it to safetensors");
  }
  if (start.size() > 1 && start[0] == '\x80' && start[1] >= 2 && start[1] <= 5) {
    return Error::model_rule("E_ST_PICKLE", "this is a Python pickle, not safetensors",
                             "convert it to safetensors; a renamed pickle is never loaded");
  }
  return std::nullopt;
}

}  // namespace ldm
