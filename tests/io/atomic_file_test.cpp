#include "ldm/io/atomic_file.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "ldm/core/error.h"
#include "ldm/io/output_folder.h"
#include "tests/io/errors.h"
#include "tests/io/safetensors_bytes.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace {

enum class Broken { kNothing, kFiles, kFolders };
Broken g_broken = Broken::kNothing;

/// Makes fsync fail for one scope.
class BrokenSync {
 public:
  explicit BrokenSync(Broken what) { g_broken = what; }
  ~BrokenSync() { g_broken = Broken::kNothing; }
  BrokenSync(const BrokenSync&) = delete;
  BrokenSync& operator=(const BrokenSync&) = delete;
};

}  // namespace

/// In place of the C library's, for this program.
extern "C" int fsync(int fd) {
  struct stat info {};
  const bool is_folder = ::fstat(fd, &info) == 0 && S_ISDIR(info.st_mode);
  if (g_broken == (is_folder ? Broken::kFolders : Broken::kFiles)) {
    errno = EIO;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_fsync, fd));
}

namespace ldm {
namespace {

using test::bytes_of;
using test::error_of;

TEST_CASE("a sync that fails is an error, whatever the file holds by then") {
  const test::TempDir dir;
  const OutputFolder folder(dir.path());
  const auto write = [&](IfExists if_exists) {
    return error_of([&] { folder.write("a.txt", bytes_of("whole"), if_exists); });
  };
  {
    const BrokenSync broken(Broken::kFiles);
    const auto error = write(IfExists::kKeepIdentical);
    REQUIRE(error);
    CHECK(error->code() == ErrorCode::kOutput);
    CHECK(folder.files().empty());
  }
  for (const IfExists rule : {IfExists::kRefuse, IfExists::kKeepIdentical, IfExists::kReplace}) {
    const BrokenSync broken(Broken::kFolders);
    folder.remove("a.txt");
    const auto error = write(rule);
    REQUIRE(error);
    CHECK(error->message().find("a.txt") != std::string::npos);
    CHECK(folder.read("a.txt", 100) == "whole");
  }
  CHECK_FALSE(write(IfExists::kKeepIdentical));
  CHECK(folder.files().size() == 1);
}

}  // namespace
}  // namespace ldm
