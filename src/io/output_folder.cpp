#include "ldm/io/output_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <utility>

#include "ldm/core/error.h"
#include "ldm/core/text.h"
#include "ldm/io/atomic_file.h"

namespace ldm {
namespace {

namespace fs = std::filesystem;

Descriptor open_directory(const fs::path& path) {
  return Descriptor(
      uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
}

/// The folder, made if only its last component is missing.
Descriptor open_or_make(const fs::path& path) {
  Descriptor opened = open_directory(path);
  if (!opened.ok() && errno == ENOENT) {
    constexpr mode_t kMode = 0777;
    const std::string name = path.string();
    if (::mkdir(name.c_str(), kMode) != 0 && errno != EEXIST) throw write_error(path, errno, 0, -1);
    opened = open_directory(path);
  }
  if (!opened.ok()) throw write_error(path / "", errno, 0, -1);
  return opened;
}

fs::path or_here(fs::path path) { return path.empty() ? fs::path(".") : std::move(path); }

/// Whether the file is empty or its last byte ends a line.
bool ends_in_newline(int fd) {
  struct stat info {};
  char last = '\n';
  if (::fstat(fd, &info) != 0 || info.st_size == 0) return true;
  return ::pread(fd, &last, 1, info.st_size - 1) != 1 || last == '\n';
}

}  // namespace

OutputFolder::OutputFolder(fs::path path) : folder_(or_here(path), open_or_make(or_here(path))) {}

bool OutputFolder::exists(const std::string& name) const {
  struct stat info {};
  return ::fstatat(descriptor(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
}

std::optional<std::string> OutputFolder::read(const std::string& name, std::uint64_t most) const {
  try {
    const std::vector<std::byte> bytes = folder_.read(name, most);
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  } catch (const Error&) {
    return {};
  }
}

void OutputFolder::write(const std::string& name, std::span<const std::byte> bytes,
                         IfExists if_exists) const {
  const std::array<std::span<const std::byte>, 1> parts = {bytes};
  write_parts_atomic(descriptor(), path() / name, parts, if_exists);
}

void OutputFolder::append_line(const std::string& name, const std::string& line) const {
  constexpr mode_t kMode = 0666;
  const Descriptor file(uninterrupted([&] {
    return ::openat(descriptor(), name.c_str(),
                    O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, kMode);
  }));
  if (!file.ok()) throw write_error(path() / name, errno, line.size(), descriptor());
  // Several processes may append: one at a time sees whether the last line is whole.
  uninterrupted([&] { return ::flock(file.get(), LOCK_EX); });
  const std::string text = (ends_in_newline(file.get()) ? "" : "\n") + line + "\n";
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t wrote =
        uninterrupted([&] { return ::write(file.get(), text.data() + done, text.size() - done); });
    if (wrote <= 0)
      throw write_error(path() / name, wrote == 0 ? ENOSPC : errno, text.size(), descriptor());
    done += static_cast<std::size_t>(wrote);
  }
}

void OutputFolder::remove(const std::string& name) const {
  if (::unlinkat(descriptor(), name.c_str(), 0) == 0 || errno == ENOENT) return;
  throw write_error(path() / name, errno, 0, descriptor());
}

std::vector<std::string> OutputFolder::files() const {
  try {
    return folder_.names();
  } catch (const Error& error) {
    throw Error::output(error.message());
  }
}

int OutputFolder::sweep() const { return sweep_temporaries(descriptor()); }

}  // namespace ldm
