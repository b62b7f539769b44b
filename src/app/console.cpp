#include "ldm/app/console.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "ldm/app/events.h"
#include "ldm/core/text.h"

namespace ldm::app {
namespace {

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t wrote = ::write(fd, text.data(), text.size());
    if (wrote >= 0) {
      text.remove_prefix(static_cast<std::size_t>(wrote));
    } else if (errno == EAGAIN) {
      pollfd ready{fd, POLLOUT, 0};
      if (::poll(&ready, 1, -1) < 0 && errno != EINTR) return false;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

constexpr std::string_view kClearLine = "\r\x1b[K";

}  // namespace

void Console::to_stderr(const std::string& text) {
  std::string out;
  if (!live_.empty()) out += kClearLine;
  out += text;
  out += live_;
  write_all(STDERR_FILENO, out);
}

void Console::to_stdout(const std::string& text) {
  // Both streams usually end on the same terminal: the line being redrawn steps aside.
  if (!live_.empty()) write_all(STDERR_FILENO, kClearLine);
  if (!stdout_failed_ && !write_all(STDOUT_FILENO, text)) stdout_failed_ = true;
  if (!live_.empty()) write_all(STDERR_FILENO, live_);
}

void Console::result(std::string_view line) {
  const std::lock_guard lock(mutex_);
  to_stdout(std::string(line) + "\n");
}

void Console::event(const nlohmann::ordered_json& event) {
  if (!json) return;
  const std::lock_guard lock(mutex_);
  to_stdout(event_line(event));
}

void Console::info(std::string_view line) {
  if (quiet || json) return;
  const std::lock_guard lock(mutex_);
  to_stderr(escape_control(line) + "\n");
}

void Console::report(std::string_view text) {
  const std::lock_guard lock(mutex_);
  to_stderr(std::string(text));
}

void Console::warning(const LogEvent& warning) {
  if (json) {
    event(warning_event(warning));
    return;
  }
  const std::lock_guard lock(mutex_);
  std::string text = "warning: " + escape_control(warning.message) + "\n";
  if (!warning.hint.empty()) text += "hint: " + escape_control(warning.hint) + "\n";
  to_stderr(text);
}

void Console::error(const Error& error) {
  live("");
  event(error_event(error));
  const std::lock_guard lock(mutex_);
  std::string text = cat(program, ": ", error_code_name(error.code()), ": ", error.message(), "\n");
  for (std::size_t at = 0; at < error.excerpt().size();) {
    const std::size_t end = std::min(error.excerpt().find('\n', at), error.excerpt().size());
    text += "  " + error.excerpt().substr(at, end - at) + "\n";
    at = end + 1;
  }
  if (!error.hint().empty()) text += "hint: " + escape_control(error.hint()) + "\n";
  to_stderr(text);
}

void Console::live(const std::string& line) {
  const std::lock_guard lock(mutex_);
  if (live_.empty() && line.empty()) return;
  live_ = line;
  write_all(STDERR_FILENO, std::string(kClearLine) + line);
}

bool Console::stderr_is_terminal() const { return ::isatty(STDERR_FILENO) == 1; }

std::size_t Console::columns() const {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

void keep_standard_streams_taken() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) != -1 || errno != EBADF) continue;
    // Opened the wrong way round on purpose: use fails as it would on the closed stream.
    const int opened = ::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    if (opened != fd) return;
  }
}

}  // namespace ldm::app
