#include "ldm/io/safetensors.h"

#include <array>
#include <cstring>

#include "tests/io/errors.h"
#include "tests/io/safetensors_bytes.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

// Rows are those of the checklist that the reader follows (crate safetensors 0.8.0, stricter where
// said); "row 8" and so on are its numbers.

namespace ldm {
namespace {

using test::bytes_of;
using test::Contains;
using test::error_of;
using test::parse;
using test::rule_of;
using test::safetensors_bytes;

std::string rule_for(std::string_view header, std::size_t data_bytes = 0) {
  const std::string file = safetensors_bytes(header, data_bytes);
  return rule_of([&] { parse(file); });
}

const std::string kOne = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";

TEST_CASE("safetensors: a good file gives its tensors and metadata") {
  const std::string file = safetensors_bytes(
      R"({"b":{"dtype":"F16","shape":[2,3],"data_offsets":[8,20]},)"
      R"("__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
      20);
  const SafetensorsHeader header = parse(file);
  REQUIRE(header.tensors.size() == 2);
  CHECK(header.tensors[0].name == "a");
  CHECK(header.tensors[1].name == "b");
  CHECK(header.tensors[1].dtype == DType::F16);
  CHECK(header.tensors[1].shape == std::vector<std::int64_t>{2, 3});
  CHECK(header.tensors[1].byte_size() == 12);
  CHECK(describe(header.tensors[1]) == "F16 [2, 3]");
  CHECK(header.metadata.at("format") == "pt");
  CHECK(header.data_offset == file.size() - 20);
  CHECK(header.notes.empty());
}

TEST_CASE("safetensors rows 1-3: lengths are checked before anything else") {
  for (std::size_t size = 0; size < 8; ++size) {
    const std::string file(size, '\1');
    CHECK(rule_of([&] { parse(file); }) == "E_ST_SHORT");
  }
  std::string file = safetensors_bytes(kOne, 8);
  file.replace(0, 8, 8, '\xFF');
  CHECK(rule_of([&] { parse(file); }) == "E_ST_HDR_BIG");
  file.replace(0, 8, std::string("\x01\xE1\xF5\x05\0\0\0\0", 8));  // 100,000,001
  CHECK(rule_of([&] { parse(file); }) == "E_ST_HDR_BIG");
  file.replace(0, 8, std::string("\x00\xE1\xF5\x05\0\0\0\0", 8));  // 100,000,000
  CHECK(rule_of([&] { parse(file); }) == "E_ST_HDR_LEN");
  const std::string one_less = safetensors_bytes(kOne).substr(0, 8 + kOne.size() - 1);
  CHECK(rule_of([&] { parse(one_less); }) == "E_ST_HDR_LEN");
}

TEST_CASE("safetensors rows 4-7: the header is one strict JSON object") {
  CHECK(rule_for("") == "E_ST_JSON");
  CHECK(rule_for("{") == "E_ST_JSON");
  CHECK(rule_for("   ") == "E_ST_JSON");
  CHECK(rule_for("{\"\xC3\":1}") == "E_ST_UTF8");
  CHECK(rule_for("\xEF\xBB\xBF{}") == "E_ST_UTF8");
  CHECK(rule_for("{\"\\ud800\":1}") == "E_ST_JSON");
  CHECK(rule_for("[]") == "E_ST_ROOT");
  CHECK(rule_for("7") == "E_ST_ROOT");
  CHECK(rule_for("null") == "E_ST_ROOT");
  CHECK(rule_for(std::string_view("{}\0\0", 4)) == "E_ST_JSON");
  CHECK(rule_for(" \t\r\n{} \t\r\n") == "none");
  CHECK(rule_for("\f{}") == "E_ST_JSON");
  CHECK(rule_for("{},") == "E_ST_JSON");
  CHECK(rule_for("{}{}") == "E_ST_JSON");
  CHECK(rule_for(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],}})", 8) == "E_ST_JSON");
  const std::string open = R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":)";
  CHECK(rule_for(open + "[[[[[[1]]]]]]}}") == "none");
  CHECK(rule_for(open + "[[[[[[[1]]]]]]]}}") == "E_ST_DEPTH");
  CHECK(rule_for(open + std::string(100'000, '[')) == "E_ST_DEPTH");
}

TEST_CASE("safetensors rows 8-10: nothing is named twice") {
  const std::string same = R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  CHECK(rule_for("{" + same + "," + same + "}", 8) == "E_ST_DUP");
  CHECK(rule_for("{" + same + R"(,"\u0061":{"dtype":"U8","shape":[0],"data_offsets":[8,8]}})", 8) ==
        "E_ST_DUP");
  CHECK(rule_for(R"({"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8) ==
        "E_ST_DUP");
  CHECK(rule_for(R"({"a":{"dtype":"F32","x":1,"x":1,"shape":[2],"data_offsets":[0,8]}})", 8) ==
        "E_ST_DUP");
  CHECK(rule_for(R"({"__metadata__":{},"__metadata__":{}})") == "E_ST_DUP");
  CHECK(rule_for(R"({"__metadata__":{"a":"1","a":"1"}})") == "E_ST_DUP");
}

TEST_CASE("safetensors row 11: metadata is an object of strings, or null") {
  CHECK(rule_for(R"({"__metadata__":null})") == "none");
  CHECK(rule_for(R"({"__metadata__":{}})") == "none");
  CHECK(rule_for(R"({"__metadata__":{"a":1}})") == "E_ST_META");
  CHECK(rule_for(R"({"__metadata__":{"a":null}})") == "E_ST_META");
  CHECK(rule_for(R"({"__metadata__":{"a":{}}})") == "E_ST_META");
  CHECK(rule_for(R"({"__metadata__":{"a":[]}})") == "E_ST_META");
  CHECK(rule_for(R"({"__metadata__":"a"})") == "E_ST_META");
  CHECK(rule_for(R"({"__metadata__":[]})") == "E_ST_META");
}

TEST_CASE("safetensors rows 12-14: an entry is an object of three fields") {
  CHECK(rule_for(R"({"a":{"shape":[2],"data_offsets":[0,8]}})", 8) == "E_ST_ENTRY");
  CHECK(rule_for(R"({"a":{"dtype":"F32","data_offsets":[0,8]}})", 8) == "E_ST_ENTRY");
  CHECK(rule_for(R"({"a":{"dtype":"F32","shape":[2]}})", 8) == "E_ST_ENTRY");
  CHECK(rule_for(R"({"a":{}})") == "E_ST_ENTRY");
  CHECK(rule_for(R"({"a":null})") == "E_ST_ENTRY");
  CHECK(rule_for(R"({"a":1})") == "E_ST_ENTRY");
  CHECK(rule_for(R"({"a":["F32",[2],[0,8]]})", 8) == "E_ST_ENTRY");
  const std::string extra = safetensors_bytes(
      R"({"a":{"dtype":"F32","sha256":{"x":[{"y":[1.5,-1,null,true,"z"]}]},"shape":[2],)"
      R"("data_offsets":[0,8]}})",
      8);
  const SafetensorsHeader header = parse(extra);
  CHECK(header.tensors.size() == 1);
  REQUIRE(header.notes.size() == 1);
  CHECK_THAT(header.notes[0], Contains("sha256"));
}

TEST_CASE("safetensors row 15: unknown dtypes are refused, known ones load only if supported") {
  const auto error =
      error_of([] { parse(safetensors_bytes(R"({"a":{"dtype":"F31","shape":[],)")); });
  REQUIRE(error);
  CHECK(error->rule() == "E_ST_DTYPE");
  CHECK_THAT(error->message(), Contains("BF16") && Contains("F8_E4M3FNUZ") && Contains("F31"));
  CHECK(rule_for(R"({"a":{"dtype":1,"shape":[],"data_offsets":[0,8]}})", 8) == "E_ST_DTYPE");
  CHECK(rule_for(R"({"a":{"dtype":["F32"],"shape":[],"data_offsets":[0,8]}})", 8) == "E_ST_DTYPE");

  const test::TempDir folder;
  const SafetensorsFile file(
      folder.write("a.safetensors",
                   safetensors_bytes(R"({"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]},)"
                                     R"("b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
                                     8)));
  std::array<std::byte, 4> bytes{};
  file.read(*file.find("b"), bytes);
  const auto unsupported = error_of([&] { file.read(*file.find("a"), bytes); });
  REQUIRE(unsupported);
  CHECK(unsupported->rule() == "E_ST_DTYPE");
  CHECK_THAT(unsupported->message(), Contains("unsupported dtype F8_E4M3"));
}

TEST_CASE("safetensors rows 16-17: shapes and offsets are whole numbers in range") {
  const auto with_shape = [](const std::string& shape) {
    return rule_for(R"({"a":{"dtype":"U8","shape":)" + shape + R"(,"data_offsets":[0,8]}})", 8);
  };
  CHECK(with_shape("[8]") == "none");
  CHECK(with_shape("[-8]") == "E_ST_SHAPE");
  CHECK(with_shape("[8.0]") == "E_ST_SHAPE");
  CHECK(with_shape("[\"8\"]") == "E_ST_SHAPE");
  CHECK(with_shape("[[8]]") == "E_ST_SHAPE");
  CHECK(with_shape("[null]") == "E_ST_SHAPE");
  CHECK(with_shape("8") == "E_ST_SHAPE");
  CHECK(with_shape("{}") == "E_ST_SHAPE");
  CHECK(with_shape("[0,9223372036854775808,4]") == "E_ST_SHAPE");
  CHECK(with_shape("[18446744073709551616]") == "E_ST_JSON");
  CHECK(with_shape("[1,1,1,1,1,1,1,8]") == "none");
  CHECK(with_shape("[1,1,1,1,1,1,1,1,8]") == "E_ST_SHAPE");
  const auto with_offsets = [](const std::string& offsets) {
    return rule_for(R"({"a":{"dtype":"U8","shape":[8],"data_offsets":)" + offsets + "}}", 8);
  };
  CHECK(with_offsets("[0,8]") == "none");
  CHECK(with_offsets("[0]") == "E_ST_OFFSETS");
  CHECK(with_offsets("[]") == "E_ST_OFFSETS");
  CHECK(with_offsets("[0,8,8]") == "E_ST_OFFSETS");
  CHECK(with_offsets("[8,0]") == "E_ST_OFFSETS");
  CHECK(with_offsets("[-1,7]") == "E_ST_OFFSETS");
  CHECK(with_offsets("[0,8.5]") == "E_ST_OFFSETS");
  CHECK(with_offsets("8") == "E_ST_OFFSETS");
}

TEST_CASE("safetensors rows 18-20: sizes are computed without overflow and must agree") {
  const auto with = [](const char* dtype, const std::string& shape, const std::string& offsets) {
    return rule_for(std::string(R"({"a":{"dtype":")") + dtype + R"(","shape":)" + shape +
                        R"(,"data_offsets":)" + offsets + "}}",
                    8);
  };
  CHECK(with("F32", "[4294967296,4294967296]", "[0,8]") == "E_ST_OVERFLOW");
  CHECK(with("F32", "[4611686018427387904,4,0]", "[0,0]") == "E_ST_OVERFLOW");
  CHECK(with("F64", "[288230376151711744]", "[0,8]") == "E_ST_OVERFLOW");
  CHECK(with("F4", "[15]", "[0,8]") == "E_ST_ALIGN");
  CHECK(with("F4", "[16]", "[0,8]") == "none");
  CHECK(with("F6_E2M3", "[3]", "[0,8]") == "E_ST_ALIGN");
  CHECK(with("F32", "[3]", "[0,8]") == "E_ST_SIZE");
  CHECK(with("F32", "[1]", "[0,8]") == "E_ST_SIZE");
  CHECK(with("F64", "[]", "[0,8]") == "none");
}

TEST_CASE("safetensors row 21: data are laid out without overlap or hole, both names are told") {
  const auto two = [](const std::string& a, const std::string& b) {
    return safetensors_bytes(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + a +
                                 R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + b + "}}",
                             8);
  };
  CHECK(rule_of([&] { parse(two("[4,8]", "[0,4]")); }) == "none");
  const auto overlap = error_of([&] { parse(two("[0,4]", "[2,6]")); });
  REQUIRE(overlap);
  CHECK(overlap->rule() == "E_ST_LAYOUT");
  CHECK_THAT(overlap->message(), Contains("\"b\" overlaps \"a\""));
  CHECK(rule_of([&] { parse(two("[0,4]", "[0,4]")); }) == "E_ST_LAYOUT");
  const auto hole = error_of([&] { parse(two("[0,4]", "[5,9]")); });
  REQUIRE(hole);
  CHECK_THAT(hole->message(), Contains("\"b\" leaves a hole after \"a\""));
  CHECK(rule_for(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})", 8) == "E_ST_LAYOUT");
  // Empty tensors may share a place with the start of another.
  CHECK(rule_for(R"({"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                 R"("e":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
                 R"("f":{"dtype":"U8","shape":[0,7],"data_offsets":[4,4]}})",
                 4) == "none");
}

TEST_CASE("safetensors row 22: short files and trailing bytes are told apart") {
  const std::string file = safetensors_bytes(kOne, 8);
  for (std::size_t size = 8 + kOne.size(); size < file.size(); ++size) {
    const auto error = error_of([&] { parse(file.substr(0, size)); });
    REQUIRE(error);
    CHECK(error->rule() == "E_ST_TRUNC");
    CHECK_THAT(error->hint(), Contains("download again"));
  }
  CHECK_THAT(error_of([&] { parse(file.substr(0, file.size() - 3)); })->message(),
             Contains("short by 3 bytes"));
  CHECK(rule_of([&] { parse(file + "x"); }) == "E_ST_TRAIL");
  SafetensorsLimits limits;
  limits.allow_trailing = true;
  CHECK(parse(file + "x", limits).tensors.size() == 1);
  const std::string huge = safetensors_bytes(
      R"({"a":{"dtype":"U8","shape":[2305843009213693951],"data_offsets":[0,2305843009213693951]}})");
  CHECK(rule_of([&] { parse(huge); }) == "E_ST_TRUNC");
}

TEST_CASE("safetensors: every truncation of a file is refused") {
  const std::string file = safetensors_bytes(kOne, 8);
  for (std::size_t size = 0; size < file.size(); ++size) {
    const auto error = error_of([&] { parse(file.substr(0, size)); });
    REQUIRE(error);
    CHECK(error->code() == ErrorCode::kModel);
    CHECK_FALSE(error->rule().empty());
  }
}

TEST_CASE("safetensors rows 23, 24, 26: empty, scalar, misaligned and no tensors are fine") {
  CHECK(rule_for("{}") == "none");
  const std::string file =
      safetensors_bytes(R"({"u":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                        R"("f":{"dtype":"F32","shape":[],"data_offsets":[3,7]},)"
                        R"("z":{"dtype":"F32","shape":[0,3],"data_offsets":[7,7]}} )",
                        7);
  CHECK((file.size() - 7) % 8 != 0);
  const test::TempDir folder;
  const SafetensorsFile opened(folder.write("m.safetensors", file));
  std::array<std::byte, 4> bytes{};
  opened.read(*opened.find("f"), bytes);
  CHECK(std::to_integer<int>(bytes[0]) == 3);
  opened.read_part(*opened.find("f"), 2, std::span(bytes).first(2));
  CHECK(std::to_integer<int>(bytes[0]) == 5);
  opened.read(*opened.find("z"), {});
  CHECK(opened.find("none") == nullptr);
  opened.check_unchanged();
}

TEST_CASE("safetensors row 25: strange names are kept in the file and escaped in messages") {
  const std::string good = R"({"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                           R"("a\u0000\u001b[31m\u202e":{"dtype":"U8","shape":[1],)";
  const SafetensorsHeader header = parse(safetensors_bytes(good + "\"data_offsets\":[1,2]}}", 2));
  CHECK(header.tensors[0].name.empty());
  CHECK(header.tensors[1].name == std::string_view("a\0\x1b[31m\xE2\x80\xAE", 10));
  const auto error =
      error_of([&] { parse(safetensors_bytes(good + "\"data_offsets\":[2,1]}}", 2)); });
  REQUIRE(error);
  CHECK_THAT(error->message(),
             Contains("f.safetensors: E_ST_OFFSETS: ") && Contains(R"("a\x00\x1b[31m\u{202e}")"));
}

TEST_CASE("safetensors row 30: other contents are named") {
  const auto rule = [](std::string text) {
    text.resize(std::max<std::size_t>(text.size(), 300), '\n');
    return rule_of([&] { parse(text); });
  };
  CHECK(rule("version https://git-lfs.github.com/spec/v1\noid sha256:00") == "E_ST_LFS");
  CHECK(rule("<!DOCTYPE html><html>") == "E_ST_HTML");
  CHECK(rule("\n  <HTML>") == "E_ST_HTML");
  CHECK(rule(std::string("PK\x03\x04\x14\0\0\0\0\0", 10)) == "E_ST_ZIP");
  CHECK(rule(std::string("\x80\x02}q\0X\x03\0\0\0abc", 13)) == "E_ST_PICKLE");
  const test::TempDir folder;
  const auto empty = error_of([&] { SafetensorsFile{folder.write("model.safetensors", "")}; });
  REQUIRE(empty);
  CHECK_THAT(empty->message(), Contains("model.safetensors: E_ST_SHORT: the file is empty"));
  CHECK(empty->exit_code() == 4);
}

TEST_CASE("safetensors: written files are deterministic, aligned and read back equal") {
  const test::TempDir folder;
  const std::string data = "0123456789abcdef";
  const auto view = [&data](std::size_t count) { return bytes_of(data).first(count); };
  const std::array<TensorData, 4> tensors = {
      TensorData{"u", DType::U8, {3}, view(3)}, TensorData{"b", DType::F16, {2, 2}, view(8)},
      TensorData{"a\"\n", DType::F16, {0}, {}}, TensorData{"d", DType::F64, {}, view(8)}};
  const std::map<std::string, std::string> metadata = {{"z", "1"}, {"format", "p\xC3\xA9"}};
  const auto path = folder / "w.safetensors";
  write_safetensors(path, tensors, metadata, IfExists::kRefuse);
  const SafetensorsFile file(path);
  CHECK(file.header().metadata == metadata);
  CHECK(file.header().data_offset % 8 == 0);
  REQUIRE(file.header().tensors.size() == 4);
  for (const TensorData& tensor : tensors) {
    const TensorInfo* info = file.find(tensor.name);
    REQUIRE(info != nullptr);
    CHECK(info->dtype == tensor.dtype);
    CHECK(info->shape == tensor.shape);
    CHECK(info->begin % (dtype_bits(info->dtype) / 8) == 0);
    std::vector<std::byte> bytes(info->byte_size());
    file.read(*info, bytes);
    CHECK(std::equal(bytes.begin(), bytes.end(), tensor.bytes.begin(), tensor.bytes.end()));
  }
  const std::array<TensorData, 4> turned = {tensors[3], tensors[1], tensors[2], tensors[0]};
  write_safetensors(path, turned, metadata, IfExists::kKeepIdentical);

  const TensorData wrong{"x", DType::F32, {2}, view(4)};
  const std::array<TensorData, 2> twice = {tensors[0], tensors[0]};
  CHECK(error_of([&] { write_safetensors(folder / "x", std::span(&wrong, 1), {}, {}); })->code() ==
        ErrorCode::kInternal);
  CHECK(error_of([&] { write_safetensors(folder / "x", twice, {}, {}); }));
  CHECK_FALSE(std::filesystem::exists(folder / "x"));
}

}  // namespace
}  // namespace ldm
