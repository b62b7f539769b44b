#include "ldm/train/dataset.h"

#include "ldm/core/error.h"
#include "tests/io/tar_bytes.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/train/plain_pictures.h"

namespace fs = std::filesystem;
using ldm::Error;
using ldm::ErrorCode;
using ldm::test::plain_picture;
using ldm::test::png_of;
using ldm::test::TarBytes;
using ldm::test::TempDir;
using ldm::train::Dataset;
using ldm::train::DatasetOptions;
using ldm::train::Example;
using ldm::train::open_dataset;

namespace {

std::string png(std::uint8_t red) { return png_of(plain_picture(4, 2, red)); }

/// The message of the Error::input that opening throws.
std::string refusal(const fs::path& path, const DatasetOptions& options = {}) {
  try {
    open_dataset(path, options);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kInput);
    return error.message();
  }
  return "accepted";
}

DatasetOptions pictures_only() { return {false, false}; }

/// What opening a folder with one picture a.png and this metadata.jsonl says.
std::string metadata_refusal(const std::string& text, const DatasetOptions& options = {}) {
  const TempDir dir;
  dir.write("a.png", png(1));
  dir.write("metadata.jsonl", text);
  const std::string said = refusal(dir.path(), options);
  const std::string folder = dir.path().string() + "/";
  return said.starts_with(folder) ? said.substr(folder.size()) : said;
}

}  // namespace

TEST_CASE("a folder with metadata gives captions, labels and attributes") {
  const TempDir dir;
  dir.write("x/b.png", png(20));
  dir.write("a.png", png(10));
  dir.write("unnamed.png", png(30));
  dir.write("metadata.jsonl",
            "{\"file_name\": \"x/b.png\", \"text\": \"a \\u00e9\", \"class_label\": 7}\n\n"
            "{\"file_name\": \"a.png\", \"caption\": \"one\", \"object\": \"cat\"}\r\n");
  const auto data = open_dataset(dir.path());
  REQUIRE(data->size() == 2);
  const Example first = data->read(0);
  CHECK(first.caption == "one");
  CHECK(first.attributes == nlohmann::json{{"object", "cat"}});
  CHECK_FALSE(first.class_label);
  CHECK(first.picture.width == 4);
  CHECK(first.picture.rgb.at(0) == 10);
  const Example second = data->describe(1);
  CHECK(second.caption == "a \xc3\xa9");
  CHECK(second.class_label == 7);
  CHECK(second.attributes.empty());
  CHECK(second.picture.rgb.empty());
  CHECK(second.name == (dir / "x/b.png").string());
  CHECK(data->name(1) == second.name);
}

TEST_CASE("captions may lie beside the pictures, or not be asked for") {
  const TempDir dir;
  dir.write("b/2.JPG", "no picture at all");
  dir.write("b/2.txt", " two \n");
  dir.write("a.png", png(1));
  dir.write("a.txt", "one");
  dir.write(".hidden/c.png", png(3));
  dir.write(".d.png", png(4));
  dir.write("notes.md", "text");
  const auto data = open_dataset(dir.path());
  REQUIRE(data->size() == 2);
  CHECK(data->read(0).caption == "one");
  CHECK(data->describe(1).caption == "two");
  CHECK_THROWS_WITH(data->read(1), Contains("2.JPG"));
  const auto plain = open_dataset(dir.path(), pictures_only());
  CHECK(plain->size() == 2);
  CHECK(plain->read(0).caption.empty());
}

TEST_CASE("metadata that cannot be used is refused with its line") {
  const std::string good = "{\"file_name\": \"a.png\", \"text\": \"a\"}\n";
  CHECK(metadata_refusal(good) == "accepted");
  CHECK_THAT(metadata_refusal(good + "{oops}\n"),
             Contains("metadata.jsonl:2: invalid JSON at byte"));
  CHECK_THAT(metadata_refusal("[1]\n"), Contains("metadata.jsonl:1: expected a JSON object"));
  CHECK_THAT(metadata_refusal("{\"text\": \"a\"}\n"),
             Contains("metadata.jsonl:1: no \"file_name\""));
  CHECK_THAT(metadata_refusal("{\"file_name\": \"a.png\"}\n"), Contains("neither \"text\" nor"));
  CHECK_THAT(metadata_refusal("{\"file_name\": \"a.png\", \"text\": 3}\n"), Contains("is no text"));
  CHECK_THAT(metadata_refusal(good + good), Contains("metadata.jsonl:2: \"a.png\" is named twice"));
  CHECK_THAT(metadata_refusal("{\"file_name\": \"x/../a.png\", \"text\": \"a\"}\n" + good),
             Contains("named twice"));
  CHECK_THAT(metadata_refusal("{\"file_name\": \"a.png\", \"text\": \"\xff\"}\n"),
             Contains("metadata.jsonl:1: invalid JSON"));
  CHECK_THAT(metadata_refusal(good, {true, true}), Contains("no \"class_label\""));
  CHECK_THAT(metadata_refusal("{\"file_name\": \"a.png\", \"class_label\": -1, \"text\": \"a\"}"),
             Contains("whole number"));
  CHECK_THAT(metadata_refusal(""), Contains("an empty data set"));
}

TEST_CASE("metadata must name pictures in its folder") {
  const std::string said = metadata_refusal(
      "{\"file_name\": \"b.png\", \"text\": \"b\"}\n{\"file_name\": \"a.png\", \"text\": \"a\"}\n"
      "{\"file_name\": \"c.png\", \"text\": \"c\"}\n");
  CHECK_THAT(said, Contains("metadata.jsonl:1: no picture") && Contains("b.png, nor 1 others"));
  for (const char* name : {"../a.png", "/etc/passwd", "x/../../a.png", ""}) {
    CHECK_THAT(metadata_refusal(std::string("{\"file_name\": \"") + name + "\", \"text\": \"a\"}"),
               Contains("lies outside the folder"));
  }
}

TEST_CASE("empty, missing and uncaptioned data sets are refused") {
  const TempDir dir;
  CHECK_THAT(refusal(dir.path()), Contains("an empty data set"));
  CHECK_THAT(refusal(dir / "none"), Contains("no such data set"));
  CHECK_THAT(refusal(dir.write("x.csv", "")), Contains("no folder"));
  dir.write("d/a.png", png(1));
  dir.write("d/b.png", png(2));
  CHECK_THAT(refusal(dir / "d"), Contains("a.png: no caption, nor for 1 others"));
  CHECK_THAT(refusal(dir / "d", {false, true}), Contains("class labels need a metadata.jsonl"));
  CHECK(refusal(dir / "d", pictures_only()) == "accepted");
  dir.write("d/metadata.jsonl", "");
  CHECK_THAT(refusal(dir.path()), Contains("but in a folder below"));
  dir.write("d/captions.jsonl", "");
  CHECK_THAT(refusal(dir / "d"), Contains("both metadata.jsonl and captions.jsonl"));
  dir.write("e/a.png", png(1));
  dir.write("e/a.txt", "\xff");
  CHECK_THAT(refusal(dir / "e"), Contains("a.txt: the text is not UTF-8"));
  dir.write("f/\xff.png", png(1));
  CHECK_THAT(refusal(dir / "f", pictures_only()), Contains("the name is not UTF-8"));
}

TEST_CASE("shards are read in the order of their names") {
  TarBytes first;
  first.add("s/", "", '5');
  first.add("__index__.json", "{}");
  first.add("s/1.png", png(1));
  first.add("s/1.txt", "one\n");
  first.add("s/1.cls", "5");
  first.add("s/2.json", R"({"text": "two", "object": "cat"})");
  first.add("s/2.png", png(2));
  first.add("s/3.txt", "no picture");
  TarBytes second;
  second.add("9.jpg", "damaged");
  second.add("9.txt", "nine");
  const TempDir dir;
  dir.write("b.tar", second.end());
  dir.write("a.tar", first.end());
  const auto data = open_dataset(dir.path());
  REQUIRE(data->size() == 3);
  CHECK(data->read(0).caption == "one");
  CHECK(data->describe(0).class_label == 5);
  CHECK(data->read(0).picture.rgb.at(0) == 1);
  CHECK(data->read(1).caption == "two");
  CHECK(data->read(1).attributes == nlohmann::json{{"object", "cat"}});
  CHECK(data->name(2) == (dir / "b.tar").string() + "/9.jpg");
  CHECK(data->describe(2).caption == "nine");
  CHECK_THROWS_WITH(data->read(2), Contains("b.tar/9.jpg"));
  CHECK(open_dataset(dir / "a.tar")->size() == 2);
  CHECK(open_dataset(dir.write("list.txt", "a.tar\n\nb.tar\n"))->size() == 3);
  dir.write("a.tar", first.end() + "longer");
  CHECK_THROWS_WITH(data->read(0), Contains("has changed since"));
}

TEST_CASE("shards that cannot be used are refused") {
  const TempDir dir;
  const auto said = [&](const TarBytes& tar, const DatasetOptions& options = {}) {
    return refusal(dir.write("a.tar", tar.end()), options);
  };
  CHECK_THAT(said({}), Contains("an empty data set"));
  TarBytes bare;
  bare.add("1.png", png(1));
  CHECK_THAT(said(bare), Contains("a.tar: \"1.png\" has no caption"));
  CHECK_THAT(said(bare, {false, true}), Contains("has no class label"));
  CHECK(said(bare, pictures_only()) == "accepted");
  bare.add("1.jpg", png(1));
  CHECK_THAT(said(bare, pictures_only()), Contains("has two pictures"));
  TarBytes mixed;
  mixed.add("1.png", png(1));
  mixed.add("2.png", png(1));
  mixed.add("1.txt", "one");
  CHECK_THAT(said(mixed, pictures_only()), Contains("do not lie together"));
  CHECK_THAT(refusal(dir.write("b.tar", std::string(700, 'x'))), Contains("b.tar: E_TAR_"));
  CHECK_THAT(refusal(dir.write("list.txt", "a.tar\nc.tar\n")), Contains("list.txt:2: no shard"));
}
