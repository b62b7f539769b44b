#include "ldm/io/tar.h"

#include <functional>
#include <span>

#include "ldm/core/error.h"
#include "tests/io/tar_bytes.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

using ldm::test::TarBytes;

namespace ldm {
namespace {

std::vector<TarEntry> entries_of(const std::string& bytes, const TarLimits& limits = {}) {
  return read_tar_entries(ByteSource(std::as_bytes(std::span(bytes.data(), bytes.size()))), limits);
}

std::string rule_of(const std::string& bytes, const TarLimits& limits = {}) {
  try {
    entries_of(bytes, limits);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kModel);
    return error.rule();
  }
  return "accepted";
}

TarBytes two_files() {
  TarBytes tar;
  tar.add("a.txt", "hello");
  tar.add("folder/b.txt", std::string(512, 'x'));
  return tar;
}

}  // namespace

TEST_CASE("tar: files and where they lie") {
  const std::string bytes = two_files().end();
  const auto entries = entries_of(bytes);
  REQUIRE(entries.size() == 2);
  CHECK(entries[0].name == "a.txt");
  CHECK(bytes.substr(entries[0].begin, entries[0].size) == "hello");
  CHECK(entries[1].name == "folder/b.txt");
  CHECK(bytes.substr(entries[1].begin, entries[1].size) == std::string(512, 'x'));
  CHECK(entries_of(two_files().end(20)).size() == 2);
  CHECK(entries_of(TarBytes().end()).empty());
}

TEST_CASE("tar: folders, prefixes, long names and both number forms") {
  TarBytes tar;
  tar.add("folder/", "", '5');
  tar.add("name", "1");
  tar.change(345, "deep/folder");
  tar.add("././@LongLink", std::string("a/long/name.txt\0", 16), 'L');
  tar.add("a/lo", "22");
  tar.add_pax("path", "b/\xc3\xa9.txt");
  tar.add("b/e", "333");
  tar.add_pax("size", "4");
  tar.add("c", "4444");
  tar.add_pax("comment", "any", 'g');
  tar.add("d", "55555");
  tar.change(124, std::string("\x80\0\0\0\0\0\0\0\0\0\0\x05", 12));
  const auto entries = entries_of(tar.end());
  std::vector<std::string> names;
  for (const TarEntry& entry : entries) {
    names.push_back(entry.name);
    CHECK(entry.size == names.size());
  }
  CHECK(names == std::vector<std::string>{"deep/folder/name", "a/long/name.txt", "b/\xc3\xa9.txt",
                                          "c", "d"});
}

TEST_CASE("tar: what GNU tar writes in its four formats") {
  const auto names_in = [](const char* format) {
    std::vector<std::string> names;
    const auto path = test::test_file(std::string("fuzz/corpus/tar/") + format + ".tar");
    for (const TarEntry& entry : entries_of(test::slurp(path))) names.push_back(entry.name);
    return names;
  };
  const std::string long_name = "d/" + std::string(120, 'n') + ".txt";
  CHECK(names_in("v7") == std::vector<std::string>{"d/a.txt"});
  CHECK(names_in("ustar") == std::vector<std::string>{"d/a.txt", "d/b.txt"});
  CHECK(names_in("gnu") == std::vector<std::string>{"d/a.txt", "d/b.txt", long_name});
  CHECK(names_in("pax") == std::vector<std::string>{"d/a.txt", "d/b.txt", long_name});
}

TEST_CASE("tar: what is cut off or not one is refused") {
  const std::string whole = two_files().end();
  CHECK(rule_of("") == "E_TAR_END");
  CHECK(rule_of(two_files().end(0)) == "E_TAR_END");
  CHECK(rule_of(two_files().end(1)) == "E_TAR_END");
  CHECK(rule_of(whole.substr(0, 100)) == "E_TAR_SHORT");
  CHECK(rule_of(whole.substr(0, 520)) == "E_TAR_SHORT");
  CHECK(rule_of(whole.substr(0, 1600)) == "E_TAR_SHORT");
  CHECK(rule_of(whole + "x") == "E_TAR_TRAILING");
  CHECK(rule_of(two_files().end(1) + whole) == "E_TAR_TRAILING");
  CHECK(rule_of(std::string(2048, 'x')) == "E_TAR_NUMBER");
  std::string damaged = whole;
  damaged[1024] = 'F';
  CHECK(rule_of(damaged) == "E_TAR_CHECKSUM");
}

TEST_CASE("tar: strange headers are refused") {
  const auto changed = [](const std::function<void(TarBytes&)>& change) {
    TarBytes tar;
    change(tar);
    return rule_of(tar.end());
  };
  const auto with_size = [&](const std::string& field) {
    return changed([&](TarBytes& tar) {
      tar.add("a", "1");
      tar.change(124, field);
    });
  };
  CHECK(with_size("0000000000x ") == "E_TAR_NUMBER");
  CHECK(with_size("00000 000001") == "E_TAR_NUMBER");
  CHECK(with_size("77777777777 ") == "E_TAR_SHORT");
  CHECK(with_size("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff") == "E_TAR_NUMBER");
  CHECK(with_size(std::string("\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12)) == "E_TAR_SHORT");
  for (const char type : {'1', '2', '3', '6', 'S', 'Z'}) {
    CHECK(changed([&](TarBytes& tar) { tar.add("a", "", type); }) == "E_TAR_TYPE");
  }
  CHECK(changed([](TarBytes& tar) { tar.add("", "1"); }) == "E_TAR_NAME");
  CHECK(changed([](TarBytes& tar) { tar.add("\xff", "1"); }) == "E_TAR_NAME");
  for (const char* text : {"x", "99 path=a\n", "9 path=a\n\n", "4 =\n", "10 path=abc", "5 a\n\n"}) {
    CHECK(changed([&](TarBytes& tar) {
            tar.add("PaxHeader", text, 'x');
            tar.add("a", "1");
          }) == "E_TAR_PAX");
  }
  CHECK(changed([](TarBytes& tar) { tar.add_pax("path", "a"); }) == "E_TAR_PAX");
  CHECK(changed([](TarBytes& tar) { tar.add_pax("path", "a", 'g'); }) == "E_TAR_PAX");
  CHECK(changed([](TarBytes& tar) { tar.add_pax("size", "-1"); }) == "E_TAR_PAX");
  CHECK(changed([](TarBytes& tar) { tar.add_pax("GNU.sparse.map", "1"); }) == "E_TAR_TYPE");
}

TEST_CASE("tar: limits") {
  TarLimits limits;
  limits.max_entries = 1;
  CHECK(rule_of(two_files().end(), limits) == "E_TAR_LIMIT");
  limits = {};
  limits.max_name_bytes = 5;
  CHECK(rule_of(two_files().end(), limits) == "E_TAR_NAME");
  limits = {};
  limits.max_extended_bytes = 10;
  TarBytes tar;
  tar.add_pax("path", "a long name");
  CHECK(rule_of(tar.end(), limits) == "E_TAR_LIMIT");
}

}  // namespace ldm
