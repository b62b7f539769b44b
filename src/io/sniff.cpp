#include "ldm/io/sniff.h"

#include <algorithm>

namespace ldm {
namespace {

bool starts_with_ignoring_case(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() &&
         std::equal(prefix.begin(), prefix.end(), text.begin(),
                    [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b + 32 : b); });
}

bool looks_like_pickle(std::string_view start) {
  return start.size() > 1 && start[0] == '\x80' && start[1] >= 2 && start[1] <= 5;
}

bool looks_like_tar(std::string_view start) {
  constexpr std::size_t kMarkAt = 257;
  return start.size() > kMarkAt && start.substr(kMarkAt).starts_with("ustar");
}

std::optional<Error> failed_download(std::string_view start) {
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
  return std::nullopt;
}

}  // namespace

bool looks_like_zip(std::string_view start) {
  using namespace std::string_view_literals;
  return start.starts_with("PK\x03\x04"sv);
}

bool looks_like_safetensors(std::string_view start) {
  constexpr std::size_t kLengthBytes = 8;
  // No header has 2^40 bytes, so that the highest three bytes of its length are 0.
  constexpr std::string_view kHigh("\0\0\0", 3);
  if (start.size() <= kLengthBytes || start.substr(5, 3) != kHigh) return false;
  const std::size_t text = start.find_first_not_of(" \t\r\n", kLengthBytes);
  return text != std::string_view::npos && start[text] == '{';
}

std::optional<Error> foreign_weights(std::string_view start) {
  if (auto failed = failed_download(start)) return failed;
  if (looks_like_zip(start)) {
    return Error::model_rule("E_ST_ZIP",
                             "this is a zip file (a torch checkpoint?), not safetensors",
                             "name it .ckpt, or convert it to safetensors");
  }
  if (looks_like_pickle(start)) {
    return Error::model_rule("E_ST_PICKLE", "this is a Python pickle, not safetensors",
                             "convert it to safetensors; a renamed pickle is never loaded");
  }
  return std::nullopt;
}

std::optional<Error> foreign_checkpoint(std::string_view start) {
  constexpr const char* kResave =
      "save it again with a current torch, or convert it to safetensors";
  if (auto failed = failed_download(start)) return failed;
  if (looks_like_pickle(start)) {
    return Error::model_rule("E_CKPT_LEGACY",
                             "this is a bare Python pickle, as torch before 1.6 saved", kResave);
  }
  if (looks_like_tar(start)) {
    return Error::model_rule("E_CKPT_TAR", "this is a tar file, as torch before 0.2 saved",
                             kResave);
  }
  if (looks_like_safetensors(start)) {
    return Error::model_rule("E_CKPT_SAFETENSORS", "this is a safetensors file, not a checkpoint",
                             "name it .safetensors");
  }
  return std::nullopt;
}

}  // namespace ldm
