#include "ldm/app/line_reader.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "ldm/app/signals.h"
#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/file.h"

namespace ldm::app {
namespace {

constexpr std::uint64_t kMostFileBytes = std::uint64_t{1} << 30U;

std::string read_whole(const std::string& path) {
  try {
    return read_small_file(path, kMostFileBytes);
  } catch (Error& error) {
    throw error.with_code(ErrorCode::kInput);
  }
}

}  // namespace

std::size_t read_standard_input(std::span<char> buffer) {
  for (;;) {
    // Reads are restarted after a signal, polls are not: Ctrl-C must end the wait.
    pollfd ready{STDIN_FILENO, POLLIN, 0};
    if (::poll(&ready, 1, -1) < 0 && received_signal() != 0) {
      throw stopped_by_signal(received_signal(), 0, 1);
    }
    const ssize_t got = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) throw Error::input(cat("reading stdin: ", std::strerror(errno)));
  }
}

LineReader::LineReader(const std::string& path) : name_(path), stdin_(path == "-") {
  if (stdin_) {
    name_ = "stdin";
  } else {
    text_ = read_whole(path);
    ended_ = true;
  }
}

std::string LineReader::source() const { return cat(name_, ":", line_); }

std::optional<std::string> LineReader::next() {
  std::size_t end = text_.find('\n', at_);
  while (end == std::string::npos && !ended_ && text_.size() - at_ <= kMostBytes) {
    text_.erase(0, at_);
    at_ = 0;
    std::array<char, 65536> buffer{};
    const std::size_t got = read_standard_input(buffer);
    const std::size_t before = text_.size();
    text_.append(buffer.data(), got);
    ended_ = got == 0;
    end = text_.find('\n', before);
  }
  if (end == std::string::npos && at_ == text_.size()) return std::nullopt;
  ++line_;
  std::string line = text_.substr(at_, end == std::string::npos ? end : end - at_);
  if (line.size() > kMostBytes) {
    throw Error::input(cat(source(), ": a line of more than ", human_bytes(kMostBytes)));
  }
  at_ = end == std::string::npos ? text_.size() : end + 1;
  if (line.ends_with('\r')) line.pop_back();
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (line_ == 1 && line.starts_with(kByteOrderMark)) line.erase(0, kByteOrderMark.size());
  return line;
}

}  // namespace ldm::app
