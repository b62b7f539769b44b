#include "ldm/io/folder_files.h"

#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/io/base64.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm {
namespace {

namespace fs = std::filesystem;

std::string base64_of(const std::string& text) {
  return base64(std::as_bytes(std::span(text.data(), text.size())));
}

TEST_CASE("base64 gives the vectors of RFC 4648") {
  CHECK(base64_of("") == "");
  CHECK(base64_of("f") == "Zg==");
  CHECK(base64_of("fo") == "Zm8=");
  CHECK(base64_of("foo") == "Zm9v");
  CHECK(base64_of("foob") == "Zm9vYg==");
  CHECK(base64_of("fooba") == "Zm9vYmE=");
  CHECK(base64_of("foobar") == "Zm9vYmFy");
  CHECK(base64_of("\xff\xfe\xfb") == "//77");
}

TEST_CASE("a look through a folder finds files, not links, nor what begins with a dot") {
  const test::TempDir dir;
  dir.write("in/b.png", "b");
  dir.write("in/sub/a.PNG", "a");
  dir.write("in/sub/note.txt", "n");
  dir.write("in/.hidden.png", "h");
  dir.write("in/.folder/x.png", "x");
  dir.write("out/secret.png", "s");
  fs::create_directory(dir / "in/folder.png");
  fs::create_symlink(dir / "out/secret.png", dir / "in/link.png");
  fs::create_directory_symlink(dir / "out", dir / "in/linked");
  fs::create_directory_symlink(dir / "in", dir / "in/sub/round");
  const Folder folder(dir / "in");
  const FolderFiles found = folder.list(".png");
  CHECK(found.files == std::vector<std::string>{"b.png", "sub/a.PNG"});
  CHECK(found.links == 3);
  CHECK(found.unreadable.empty());
  CHECK(folder.read("sub/a.PNG", 10) == std::vector<std::byte>{std::byte{'a'}});
}

TEST_CASE("reading below a folder never leaves it") {
  const test::TempDir dir;
  dir.write("in/sub/a.png", "12345");
  dir.write("out/secret.png", "s");
  const Folder folder(dir / "in");
  CHECK(folder.read("sub/a.png", 5).size() == 5);
  CHECK_THROWS_AS(folder.read("sub/a.png", 4), Error);
  CHECK_THROWS_AS(folder.read("../out/secret.png", 9), Error);
  CHECK_THROWS_AS(folder.read("sub", 9), Error);
  CHECK_THROWS_AS(folder.read("none.png", 9), Error);
  // What was a folder and a file when they were found is a link when they are read.
  fs::remove_all(dir / "in/sub");
  fs::create_directory_symlink(dir / "out", dir / "in/sub");
  CHECK_THROWS_AS(folder.read("sub/secret.png", 9), Error);
  fs::create_symlink(dir / "out/secret.png", dir / "in/link.png");
  CHECK_THROWS_AS(folder.read("link.png", 9), Error);
  CHECK_THROWS_AS(Folder(dir / "missing"), Error);
  CHECK_THROWS_AS(Folder(dir / "out/secret.png"), Error);
}

TEST_CASE("names are of the regular files directly in a folder") {
  const test::TempDir dir;
  dir.write("b.txt", "b");
  dir.write(".hidden", "h");
  dir.write("sub/c.txt", "c");
  std::filesystem::create_symlink(dir / "b.txt", dir / "link.txt");
  CHECK(Folder(dir.path()).names() == std::vector<std::string>{".hidden", "b.txt"});
}

TEST_CASE("a pipe named as a picture is passed by") {
  const test::TempDir dir;
  const std::string pipe = (dir / "p.png").string();
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  const Folder folder(dir.path());
  CHECK(folder.list(".png").files.empty());
  CHECK_THROWS_AS(folder.read("p.png", 9), Error);
}

}  // namespace
}  // namespace ldm
