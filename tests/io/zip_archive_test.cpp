#include "ldm/io/zip_archive.h"

#include <array>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "tests/io/errors.h"
#include "tests/io/zip_bytes.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm {
namespace {

using test::Contains;
using test::error_of;
using test::rule_of;
using test::ZipBytes;

ByteSource source_of(const std::string& file) {
  return ByteSource(std::as_bytes(std::span(file.data(), file.size())));
}

std::string rule_for(const std::string& file) {
  return rule_of([&] { ZipArchive{source_of(file)}; });
}

ZipBytes small_zip() {
  ZipBytes zip;
  zip.add("data.pkl", "0123456789");
  zip.add("data/0", "");
  zip.add("data/1", "abcdef");
  return zip;
}

std::string read_text(const ZipArchive& archive, std::string_view name) {
  const ZipRecord* record = archive.find(name);
  REQUIRE(record != nullptr);
  const std::vector<std::byte> bytes = archive.read(*record, 1000);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The file with the bytes of `from`, where they first stand after byte `start`, made `to`.
std::string changed(std::string file, std::string_view from, std::string_view to,
                    std::size_t start = 0) {
  const std::size_t at = file.find(from, start);
  REQUIRE(at != std::string::npos);
  return file.replace(at, to.size(), to);
}

const std::string kCentral = "PK\x01\x02";
const std::string kEnd = "PK\x05\x06";
const std::string kEnd64 = "PK\x06\x06";
const std::string kLocator = "PK\x06\x07";

// With one byte of the structure that starts with `mark` changed.
std::string with_byte(std::string file, const std::string& mark, std::size_t offset, char value) {
  const std::size_t at = file.find(mark);
  REQUIRE(at != std::string::npos);
  file.at(at + offset) = value;
  return file;
}

TEST_CASE("zip: records of every layout that torch and zipfile write are read") {
  for (const bool zip64 : {true, false}) {
    for (const std::uint16_t flags : std::vector<std::uint16_t>{0x0808, 0x0008, 0x0000, 0x0800}) {
      for (const std::string& padding :
           {std::string(), std::string(40, 'Z'), std::string(3, '\0')}) {
        ZipBytes zip("model v1.5");
        zip.has_zip64_end = zip64;
        zip.flags = flags;
        zip.padding = padding;
        zip.add("data.pkl", "0123456789");
        zip.add("data/0", "");
        zip.add(".data/serialization_id", "abcdef");
        const std::string file = zip.finish();
        const ZipArchive archive{source_of(file)};
        CHECK(archive.folder() == "model v1.5");
        REQUIRE(archive.records().size() == 3);
        CHECK(archive.records()[2].name == ".data/serialization_id");
        CHECK(read_text(archive, "data.pkl") == "0123456789");
        CHECK(read_text(archive, "data/0").empty());
        CHECK(read_text(archive, ".data/serialization_id") == "abcdef");
        CHECK(archive.find("data/1") == nullptr);
        CHECK(archive.find("model v1.5/data.pkl") == nullptr);
      }
    }
  }
}

TEST_CASE("zip: a file without records is read as one") {
  const std::string file = ZipBytes().finish();
  CHECK(ZipArchive{source_of(file)}.records().empty());
}

TEST_CASE("zip: parts of records are read, and never beyond them") {
  const std::string file = small_zip().finish();
  const ZipArchive archive{source_of(file)};
  const ZipRecord& record = *archive.find("data/1");
  std::array<std::byte, 3> part{};
  archive.read_part(record, 2, part);
  CHECK(std::memcmp(part.data(), "cde", 3) == 0);
  CHECK(error_of([&] { archive.read_part(record, 4, part); })->code() == ErrorCode::kInternal);
  CHECK(error_of([&] { archive.read_part(record, 7, {}); })->code() == ErrorCode::kInternal);
  CHECK(rule_of([&] { archive.read(record, 5); }) == "E_ZIP_LIMIT");
}

TEST_CASE("zip: a damaged record is told at the first read, whole or part, and every time") {
  const std::string file = changed(small_zip().finish(), "abcdef", "abcdeg");
  const ZipArchive archive{source_of(file)};
  const ZipRecord& record = *archive.find("data/1");
  CHECK(read_text(archive, "data.pkl") == "0123456789");
  std::array<std::byte, 2> part{};
  std::array<std::byte, 6> whole{};
  for (int i = 0; i < 2; ++i) {
    const auto error = error_of([&] { archive.read_part(record, 0, part); });
    REQUIRE(error);
    CHECK(error->rule() == "E_ZIP_CRC");
    CHECK_THAT(error->message(), Contains("\"data/1\"") && Contains("6 bytes"));
    CHECK(part[0] == std::byte{0});
    CHECK(rule_of([&] { archive.read_part(record, 0, whole); }) == "E_ZIP_CRC");
    CHECK(rule_of([&] { archive.check(record); }) == "E_ZIP_CRC");
  }
}

TEST_CASE("zip: a record larger than a piece is checked as a whole") {
  std::string big(700'001, 'x');
  ZipBytes zip;
  zip.add("data/0", big);
  std::string file = zip.finish();
  std::vector<std::byte> part(100);
  {
    const ZipArchive archive{source_of(file)};
    archive.read_part(*archive.find("data/0"), 699'901, part);
    CHECK(part[99] == std::byte{'x'});
  }
  file[file.find(big) + 600'000] = 'y';
  const ZipArchive archive{source_of(file)};
  CHECK(rule_of([&] { archive.read_part(*archive.find("data/0"), 0, part); }) == "E_ZIP_CRC");
}

TEST_CASE("zip: short files and lost ends are refused") {
  const std::string file = small_zip().finish();
  CHECK(rule_for("") == "E_ZIP_SHORT");
  CHECK(rule_for("PK\x03\x04") == "E_ZIP_SHORT");
  CHECK(rule_for(file + "x") == "E_ZIP_END");
  CHECK(rule_for("x" + file) != "none");
  for (std::size_t size = 0; size < file.size(); ++size) {
    const auto error = error_of([&] { ZipArchive{source_of(file.substr(0, size))}; });
    REQUIRE(error);
    CHECK(error->exit_code() == 4);
    CHECK_FALSE(error->rule().empty());
    CHECK_FALSE(error->hint().empty());
  }
  const auto lost = error_of([&] { ZipArchive{source_of(file.substr(0, file.size() / 2))}; });
  CHECK_THAT(lost->hint(), Contains("download again"));
}

TEST_CASE("zip: the end records must agree with each other and the file") {
  const std::string file = small_zip().finish();
  CHECK(rule_for(with_byte(file, kEnd, 4, 1)) == "E_ZIP_DIRECTORY");   // disk
  CHECK(rule_for(with_byte(file, kEnd, 8, 2)) == "E_ZIP_DIRECTORY");   // records here
  CHECK(rule_for(with_byte(file, kEnd, 12, 1)) == "E_ZIP_ZIP64");      // size
  CHECK(rule_for(with_byte(file, kEnd, 16, 1)) == "E_ZIP_ZIP64");      // offset
  CHECK(rule_for(with_byte(file, kEnd, 20, 1)) == "E_ZIP_DIRECTORY");  // comment
  CHECK(rule_for(with_byte(file, kLocator, 0, 'Q')) == "E_ZIP_DIRECTORY");
  CHECK(rule_for(with_byte(file, kLocator, 4, 1)) == "E_ZIP_ZIP64");
  CHECK(rule_for(with_byte(file, kLocator, 8, 1)) == "E_ZIP_ZIP64");
  CHECK(rule_for(with_byte(file, kLocator, 15, 1)) == "E_ZIP_ZIP64");
  CHECK(rule_for(with_byte(file, kLocator, 16, 2)) == "E_ZIP_ZIP64");
  for (const std::size_t byte : {0U, 4U, 12U, 14U, 16U, 20U, 24U, 32U}) {
    CHECK(rule_for(with_byte(file, kEnd64, byte, 99)) == "E_ZIP_ZIP64");
  }
  ZipBytes plain = small_zip();
  plain.has_zip64_end = false;
  CHECK(rule_for(with_byte(plain.finish(), kEnd, 12, 1)) == "E_ZIP_DIRECTORY");
  CHECK(rule_for(with_byte(plain.finish(), kEnd, 19, 1)) == "E_ZIP_DIRECTORY");
  std::string many = with_byte(plain.finish(), kEnd, 8, '\xFF');
  CHECK(rule_for(with_byte(many, kEnd, 10, '\xFF')) == "E_ZIP_DIRECTORY");
}

TEST_CASE("zip: caps hold before anything is allocated") {
  std::string file = small_zip().finish();
  ZipLimits limits;
  limits.max_records = 2;
  CHECK(rule_of([&] { ZipArchive(source_of(file), limits); }) == "E_ZIP_LIMIT");
  limits = {};
  limits.max_directory_bytes = 10;
  CHECK(rule_of([&] { ZipArchive(source_of(file), limits); }) == "E_ZIP_LIMIT");
  // 2^56 records in both zip64 fields and the saturated plain ones.
  for (const std::size_t byte : {31U, 39U}) file = with_byte(file, kEnd64, byte, 1);
  for (const std::size_t byte : {8U, 9U, 10U, 11U}) file = with_byte(file, kEnd, byte, '\xFF');
  CHECK(rule_for(file) == "E_ZIP_LIMIT");
}

TEST_CASE("zip: what torch never writes is refused by name") {
  ZipBytes zip = small_zip();
  zip.method = 8;
  zip.add("data/2", "abc");
  const std::string deflated = zip.finish();
  const auto error = error_of([&] { ZipArchive{source_of(deflated)}; });
  REQUIRE(error);
  CHECK(error->rule() == "E_ZIP_METHOD");
  CHECK_THAT(error->message(), Contains("compressed"));
  for (const std::uint16_t flags :
       std::vector<std::uint16_t>{0x0001, 0x0041, 0x2000, 0x10, 0x8000}) {
    ZipBytes odd;
    odd.flags = flags;
    odd.add("data.pkl", "abc");
    CHECK(rule_for(odd.finish()) == "E_ZIP_FLAGS");
  }
  const std::string file = small_zip().finish();
  CHECK(rule_for(with_byte(file, kCentral, 20, 9)) == "E_ZIP_DIRECTORY");  // packed ≠ size
  CHECK(rule_for(with_byte(file, kCentral, 32, 1)) == "E_ZIP_DIRECTORY");  // comment
  CHECK(rule_for(with_byte(file, kCentral, 34, 1)) == "E_ZIP_DIRECTORY");  // disk
  CHECK(rule_for(with_byte(file, kCentral, 4, 3)) == "E_ZIP_DIRECTORY");   // made by another system
  CHECK(rule_for(with_byte(file, kCentral, 36, 1)) == "E_ZIP_DIRECTORY");  // attributes
  CHECK(rule_for(with_byte(file, kCentral, 41, 1)) == "E_ZIP_DIRECTORY");
  CHECK(rule_for(with_byte(file, kCentral, 0, 'Q')) == "E_ZIP_DIRECTORY");
  CHECK(rule_for(changed(file, "ZZZ", "ZQZ")) == "E_ZIP_EXTRA");
  CHECK(rule_for(changed(file, "ZZZ", "QQQ")) == "E_ZIP_EXTRA");
  CHECK(rule_for(changed(file, "FB", "UT")) == "E_ZIP_EXTRA");
  CHECK(rule_for(changed(file, std::string("FB\3\0", 4), std::string("FB\4\0", 4))) ==
        "E_ZIP_EXTRA");
  CHECK(rule_for(changed(file, std::string("FB\3\0", 4), std::string("\1\0\3\0", 4))) ==
        "E_ZIP_LOCAL");
}

TEST_CASE("zip: names lie in one folder and occur once") {
  const auto rule = [](const std::vector<std::string>& names, const std::string& folder = "a") {
    ZipBytes zip(folder);
    for (const std::string& name : names) zip.add(name, "x");
    return rule_for(zip.finish());
  };
  CHECK(rule({"data.pkl", "data/0"}) == "none");
  CHECK(rule({"data.pkl", "data/0", "data.pkl"}) == "E_ZIP_DUP");
  CHECK(rule({"data.pkl"}, "") == "E_ZIP_FOLDER");
  CHECK(rule({"a/"}) == "E_ZIP_NAME");
  CHECK(rule({"a\\b"}) == "E_ZIP_NAME");
  CHECK(rule({std::string("a\0b", 3)}) == "E_ZIP_NAME");
  CHECK(rule({"\xFF"}) == "E_ZIP_NAME");
  CHECK(rule({std::string(2000, 'a')}) == "E_ZIP_NAME");
  const std::string file = small_zip().finish();
  const std::string other = changed(changed(file, "archive/data/1", "brchive/data/1"),
                                    "archive/data/1", "brchive/data/1");
  const auto error = error_of([&] { ZipArchive{source_of(other)}; });
  REQUIRE(error);
  CHECK(error->rule() == "E_ZIP_FOLDER");
  CHECK_THAT(error->message(), Contains("brchive/data/1"));
  CHECK(rule_for(changed(changed(file, "archive/data/1", "archive-data-1"), "archive/data/1",
                         "archive-data-1")) == "E_ZIP_FOLDER");
}

TEST_CASE("zip: local headers, descriptors and places must agree with the directory") {
  const std::string file = small_zip().finish();
  for (const std::size_t byte : {4U, 6U, 8U, 10U, 12U, 14U, 18U, 22U, 26U}) {
    INFO(byte);
    CHECK(rule_for(with_byte(file, "PK\x03\x04", byte, 77)) == "E_ZIP_LOCAL");
  }
  CHECK(rule_for(with_byte(file, "PK\x03\x04", 0, 'Q')) == "E_ZIP_LOCAL");
  CHECK(rule_for(with_byte(file, "PK\x03\x04", 28, 77)) == "E_ZIP_LAYOUT");
  CHECK(rule_for(changed(file, "archive/data.pkl", "archive/Data.pkl")) == "E_ZIP_LOCAL");
  for (const std::size_t byte : {0U, 4U, 8U, 12U}) {
    CHECK(rule_for(with_byte(file, "PK\x07\x08", byte, 77)) == "E_ZIP_DESCRIPTOR");
  }
  const std::size_t second = file.find(kCentral, file.find(kCentral) + 4);
  std::string moved = file;
  moved[second + 42] = static_cast<char>(moved[second + 42] + 1);
  CHECK(rule_for(moved) == "E_ZIP_LAYOUT");
  moved[second + 43] = 0x7F;
  CHECK(rule_for(moved) == "E_ZIP_LAYOUT");
  moved[second + 45] = 0x7F;
  CHECK(rule_for(moved) == "E_ZIP_LAYOUT");
  std::string same = file;
  for (std::size_t i = 42; i < 46; ++i) same[second + i] = 0;
  CHECK(rule_for(same) == "E_ZIP_LAYOUT");
  std::string wide = file;
  for (std::size_t i = 42; i < 46; ++i) wide[second + i] = '\xFF';
  CHECK(rule_for(wide) == "E_ZIP_ZIP64");
}

TEST_CASE("zip: a record beyond 4 GiB is found through its zip64 fields") {
  const test::TempDir folder;
  constexpr std::uint64_t kHole = (std::uint64_t{1} << 32U) + 5;
  const auto number = [](std::uint64_t value, unsigned bytes) {
    std::string out;
    ZipBytes::add_number(out, value, bytes);
    return out;
  };
  const auto fields = [&](std::string_view sizes, std::size_t extra) {
    return number(0, 2) + number(0x0808, 2) + number(0, 6) + number(0, 4) + std::string(sizes) +
           number(8, 2) + number(extra, 2);
  };
  const std::string none(8, '\0');
  // As torch 2.11 writes it: the sizes that are not yet known are 0 in the local header.
  const std::string first = "PK\x03\x04" + fields(none, 20) + "a/data/0" + number(1, 2) +
                            number(16, 2) + number(kHole, 8) + number(0, 8);
  const std::string after_first = "PK\x07\x08" + number(0, 4) + number(kHole, 8) + number(kHole, 8);
  const std::uint64_t place = first.size() + kHole + after_first.size();
  const std::string second =
      "PK\x03\x04" + fields(none, 12) + "a/data/1" + number(1, 2) + number(8, 2) + number(place, 8);
  const std::string after_second = "PK\x07\x08" + number(0, 4) + number(0, 8) + number(0, 8);
  const std::string central =
      kCentral + number(0, 2) + fields(number(~0U, 8).replace(4, 4, 4, '\xFF'), 20) +
      number(0, 10) + number(0, 4) + "a/data/0" + number(1, 2) + number(16, 2) + number(kHole, 8) +
      number(kHole, 8) + kCentral + number(0, 2) + fields(none, 12) + number(0, 10) +
      number(~0U, 4) + "a/data/1" + number(1, 2) + number(8, 2) + number(place, 8);
  const std::uint64_t directory = place + second.size() + after_second.size();
  const std::string end =
      kEnd64 + number(44, 8) + number(0x002D031E, 4) + number(0, 8) + number(2, 8) + number(2, 8) +
      number(central.size(), 8) + number(directory, 8) + kLocator + number(0, 4) +
      number(directory + central.size(), 8) + number(1, 4) + kEnd + number(0, 4) + number(2, 2) +
      number(2, 2) + number(central.size(), 4) + number(~0U, 4) + number(0, 2);
  const auto path = folder.write("big.ckpt", first);
  const auto write_file = [&](const std::string& directory_bytes) {
    std::filesystem::resize_file(path, first.size());
    std::filesystem::resize_file(path, first.size() + kHole);
    std::FILE* out = std::fopen(path.c_str(), "ab");
    REQUIRE(out != nullptr);
    const std::string rest = after_first + second + after_second + directory_bytes + end;
    CHECK(std::fwrite(rest.data(), 1, rest.size(), out) == rest.size());
    std::fclose(out);
  };
  write_file(central);
  {
    const InputFile file(path);
    const ZipArchive archive{ByteSource(file)};
    REQUIRE(archive.records().size() == 2);
    CHECK(archive.records()[0].size == kHole);
    CHECK(archive.records()[1].begin == place + second.size());
    CHECK(read_text(archive, "data/1").empty());
  }
  std::string wrong = central;
  wrong[central.find(number(kHole, 8)) + 1] = 1;
  write_file(wrong);
  const InputFile file(path);
  CHECK(rule_of([&] { ZipArchive{ByteSource(file)}; }) == "E_ZIP_DIRECTORY");
}

}  // namespace
}  // namespace ldm
