// Prompts, jobs and pictures from strangers: exit 3 with the place, and nothing written.
#include "tests/cli/ldm_gen.h"
#include "tests/support/catch.h"

namespace ldm::test {
namespace {

namespace fs = std::filesystem;

/// A run whose model cannot be opened: what it complains about came before.
ProgramResult run(const TempDir& dir, std::vector<std::string> more) {
  std::vector<std::string> args = {"-m", "none", "-s", "1", "--no-progress"};
  args.insert(args.end(), more.begin(), more.end());
  return ldm_gen_in(dir, args);
}

void check_input_fault(const ProgramResult& result, const std::string& part) {
  INFO(result.err);
  CHECK(result.exit_code == 3);
  CHECK(result.out.empty());
  CHECK(result.err.find("ldm-gen: input: ") == 0);
  CHECK(result.err.find(part) != std::string::npos);
  CHECK(result.err.find('\x1b') == std::string::npos);
}

TEST_CASE("a bad prompt of a file is named by line and byte") {
  struct Case {
    std::string text;
    const char* said;
  };
  const std::vector<Case> cases = {
      {"good\nbad \xff\n", "p.txt:2: byte 4: invalid UTF-8"},
      {"\xEF\xBB\xBFgood\r\n\xc0\xaf\r\n", "p.txt:2: byte 0: invalid UTF-8"},
      {"\xed\xa0\x80", "p.txt:1: byte 0: invalid UTF-8"},
      {std::string("a\0b\n", 4), "p.txt:1: byte 1: NUL"},
      {"good\n\n" + std::string(65537, 'a') + "\n", "p.txt:3: longer than 65536 bytes"},
      {"good\n" + std::string((1 << 20) + 1, 'a'), "p.txt:2: a line of more than 1"},
  };
  for (const Case& c : cases) {
    const TempDir dir;
    dir.write("p.txt", c.text);
    check_input_fault(ldm_gen_in(dir, {"-m", tiny_model().string(), "--prompts", "p.txt",
                                       "--output-dir", "out", "-s", "1", "-q"}),
                      c.said);
    if (fs::exists(dir / "out")) CHECK(files_below(dir / "out").empty());
  }
}

TEST_CASE("prompts of any script and length become pictures") {
  const TempDir dir;
  std::string long_one;
  for (int i = 0; i < 8000; ++i) long_one += "appl e ";
  dir.write("p.txt",
            "\xEF\xBB\xBF\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7 \xE7\x8C\xAB\r\n"
            "\xD9\x85\xD8\xB1\xD8\xAD\xD8\xA8\xD8\xA7 \xE2\x80\xAE e\xCC\x81\r\n" +
                long_one + "\r\n!\r\n");
  const ProgramResult result =
      ldm_gen_in(dir, {"-m", tiny_model().string(), "--prompts", "p.txt", "--output-dir", "out",
                       "-s", "1", "--steps", "1", "--threads", "1", "--no-progress"});
  INFO(result.err);
  CHECK(result.exit_code == 0);
  CHECK(lines(result.out).size() == 4);
  CHECK(result.err.find("cut off: ") != std::string::npos);
}

TEST_CASE("names that jobs ask for stay in the folder") {
  for (const char* hostile :
       {"../a", "/tmp/a", ".hidden", "a/b.png", "a\\u0000b", "a\\nb", "-rf"}) {
    const TempDir dir;
    dir.write("j.jsonl", std::string(R"({"prompt": "a", "output": ")") + hostile + "\"}\n");
    const ProgramResult result =
        ldm_gen_in(dir, {"-m", tiny_model().string(), "--jobs", "j.jsonl", "--output-dir", "out",
                         "-s", "1", "--steps", "1", "--no-progress"});
    INFO(hostile << ": " << result.err);
    CHECK(result.exit_code == 3);
    CHECK(result.err.find("j.jsonl:1: ") != std::string::npos);
    if (fs::exists(dir / "out")) CHECK(files_below(dir / "out").empty());
    CHECK(files_below(dir.path()).size() <= 2);
  }
  const TempDir dir;
  const ProgramResult result =
      run(dir, {"-p", "a", "--output-dir", "out", "--name-template", "../{index}"});
  CHECK(result.exit_code == 2);
  CHECK(files_below(dir.path()).empty());
}

std::string data(const std::string& name) { return slurp(test_file("io/data/" + name)); }

/// A JPEG without its Adobe marker, which would say what its four channels mean.
std::string without_adobe(std::string jpeg) {
  const std::size_t at = jpeg.find("\xFF\xEE");
  REQUIRE(at != std::string::npos);
  const std::size_t length =
      static_cast<unsigned char>(jpeg[at + 2]) * 256U + static_cast<unsigned char>(jpeg[at + 3]);
  return jpeg.erase(at, 2 + length);
}

/// A JPEG whose frame says 65,500 x 65,500.
std::string bomb(std::string jpeg) {
  const std::size_t at = jpeg.find("\xFF\xC0");
  REQUIRE(at != std::string::npos);
  return jpeg.replace(at + 5, 4, "\xFF\xDC\xFF\xDC");
}

TEST_CASE("pictures that are damaged, too large or ambiguous are refused before the model opens") {
  const std::string png = data("type2_8.png");
  std::string flipped = png;
  flipped[png.size() / 2] = static_cast<char>(flipped[png.size() / 2] ^ 1);
  std::string wide = png;
  wide.replace(16, 4, std::string("\x7F\xFF\xFF\xFF", 4));
  struct Case {
    std::string bytes;
    const char* said;
  };
  const std::vector<Case> cases = {
      {flipped, "CRC mismatch"},
      {wide, "CRC mismatch"},
      {png.substr(0, png.size() - 20), "the file ends"},
      {data("rgb_444.jpg").substr(0, 700), "truncated"},
      {without_adobe(data("cmyk.jpg")), "without an Adobe marker"},
      {bomb(data("rgb_444.jpg")), "65500x65500 pixels, at most 64 megapixels"},
      {"RIFF....WEBP", "a WebP"},
      {"<svg/>", "a web page or SVG"},
  };
  for (const Case& c : cases) {
    const TempDir dir;
    dir.write("in.img", c.bytes);
    check_input_fault(run(dir, {"-p", "x", "-i", "in.img", "-o", "a.png"}), c.said);
    CHECK(files_below(dir.path()) == std::vector<std::string>{"in.img"});
  }
  const TempDir dir;
  dir.write("huge.png", png);
  fs::resize_file(dir / "huge.png", (std::uintmax_t{64} << 20U) + 1);
  check_input_fault(run(dir, {"-p", "x", "-i", "huge.png", "-o", "a.png"}), "64");
  fs::create_directory(dir / "folder.png");
  check_input_fault(run(dir, {"-p", "x", "-i", "folder.png", "-o", "a.png"}), "folder.png");
}

TEST_CASE("odd but sound pictures are taken") {
  const TempDir dir;
  for (const char* name : {"type0_16.png", "type4_8_interlaced.png", "palette_alpha.png",
                           "ycck.jpg", "exif_6.jpg", "progressive.jpg"}) {
    const ProgramResult result =
        ldm_gen_in(dir, {"-m", tiny_model().string(), "-p", "x", "-s", "1", "-W", "64", "-H", "64",
                         "-i", test_file("io/data/" + std::string(name)).string(), "--dry-run"});
    INFO(name << ": " << result.err);
    CHECK(result.exit_code == 0);
  }
}

TEST_CASE("a launcher's bad numbers are usage errors (2)") {
  const TempDir dir;
  ProgramSetup setup;
  setup.folder = dir.path();
  for (const char* rank : {"5", "-1", "x", ""}) {
    setup.variables = {{"RANK", rank}, {"WORLD_SIZE", "2"}};
    const ProgramResult result =
        ldm_gen({"-p", "x", "--output-dir", "out", "--shard", "auto"}, setup);
    INFO(result.err);
    CHECK(result.exit_code == 2);
  }
  CHECK(files_below(dir.path()).empty());
}

}  // namespace
}  // namespace ldm::test
