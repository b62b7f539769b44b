#include <filesystem>
#include <string>

#include "ldm/io/image.h"
#include "ldm/io/png.h"
#include "tests/cli/ldm_gen.h"
#include "tests/support/catch.h"

namespace ldm::test {
namespace {

namespace fs = std::filesystem;

/// A grey PNG with one text entry.
void write_picture(const TempDir& dir, const std::string& name, const std::string& key,
                   const std::string& value) {
  const Image image{2, 2, std::vector<std::uint8_t>(12, 77)};
  const PngText text[] = {{key, value}};
  const std::vector<std::byte> png = encode_png(image, text);
  dir.write(name, std::string_view(reinterpret_cast<const char*>(png.data()), png.size()));
}

/// The data inside a page.
nlohmann::json data_of(const std::string& page) {
  const std::string start = "id=\"data\">";
  const std::size_t from = page.find(start) + start.size();
  return nlohmann::json::parse(page.substr(from, page.find("</script>", from) - from));
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("gallery: a page of a folder, brought up to date, never over another file") {
  const TempDir dir;
  write_picture(dir, "pics/a b.png", "parameters", "an apple\nSteps: 3, Seed: 1, Size: 2x2");
  write_picture(dir, "pics/sub/x.png", "ldm-gen", "{\"seed\": 2, \"request\": {\"steps\": 4}}");
  write_picture(dir, "outside.png", "parameters", "secret");
  dir.write("pics/broken.png", "\x89PNG\r\n\x1a\nnot much");
  dir.write("pics/empty.png", "");
  fs::create_symlink(dir / "outside.png", dir / "pics/link.png");
  const ProgramResult result = ldm_gen_in(dir, {"gallery", "pics"});
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(result.out == "pics/gallery.html\n");
  CHECK(has(result.err, "2 pictures, 2 unreadable, 1 symbolic links passed by"));
  const std::string page = slurp(dir / "pics/gallery.html");
  const auto data = data_of(page);
  REQUIRE(data["pictures"].size() == 2);
  CHECK(data["pictures"][0]["u"] == "a%20b.png");
  CHECK(data["pictures"][1]["c"] == "ldm-gen --seed 2 --steps 4");
  CHECK(data["broken"].size() == 2);
  CHECK(!has(page, "secret"));

  CHECK(ldm_gen_in(dir, {"gallery", "pics", "-q"}).exit_code == 0);
  CHECK(slurp(dir / "pics/gallery.html") == page);
  dir.write("mine.html", "<html>my own</html>");
  const ProgramResult refused = ldm_gen_in(dir, {"gallery", "pics", "-o", "mine.html"});
  CHECK(refused.exit_code == 5);
  CHECK(slurp(dir / "mine.html") == "<html>my own</html>");
  CHECK(ldm_gen_in(dir, {"gallery", "pics", "-o", "mine.html", "--overwrite"}).exit_code == 0);
  CHECK(data_of(slurp(dir / "mine.html"))["pictures"][0]["u"] == "pics/a%20b.png");
}

TEST_CASE("gallery: small pictures inside the page") {
  const TempDir dir;
  write_picture(dir, "a.png", "Title", "t");
  fs::create_directory(dir / "elsewhere");
  REQUIRE(ldm_gen_in(dir, {"gallery", ".", "--embed", "-o", "elsewhere/p.html"}).exit_code == 0);
  const std::string page = slurp(dir / "elsewhere/p.html");
  CHECK(has(page, "id=\"thumbs\">[\"data:image/png;base64,iVBOR"));
  CHECK(data_of(page)["pictures"][0]["u"] == "../a.png");
  CHECK(data_of(page)["keys"][0] == "png.Title");
}

TEST_CASE("gallery: what is wrong with the call is said before anything is read") {
  const TempDir dir;
  CHECK(ldm_gen_in(dir, {"gallery"}).exit_code == 2);
  CHECK(ldm_gen_in(dir, {"gallery", "none"}).exit_code == 3);
  CHECK(ldm_gen_in(dir, {"gallery", ".", "-o", "none/p.html"}).exit_code == 5);
  const ProgramResult embed = ldm_gen_in(dir, {"-p", "x", "--embed"});
  CHECK(embed.exit_code == 2);
  CHECK(has(embed.err, "--embed has no meaning for making pictures"));
  const ProgramResult empty = ldm_gen_in(dir, {"gallery", "."});
  CHECK(empty.exit_code == 0);
  CHECK(data_of(slurp(dir / "gallery.html"))["pictures"].empty());
}

TEST_CASE("completion: scripts on stdout, other shells refused") {
  CHECK(has(ldm_gen({"completion", "bash"}).out, "\ncomplete -F _ldm_gen ldm-gen\n"));
  CHECK(ldm_gen({"completion", "zsh"}).out.find("#compdef ldm-gen\n") == 0);
  CHECK(has(ldm_gen({"completion", "fish"}).out, "complete -c ldm-gen "));
  CHECK(ldm_gen({"completion", "man"}).out.find(".TH LDM\\-GEN 1 ") == 0);
  CHECK(ldm_gen({"completion", "tcsh"}).exit_code == 2);
  CHECK(ldm_gen({"completion"}).exit_code == 2);
}

}  // namespace
}  // namespace ldm::test
