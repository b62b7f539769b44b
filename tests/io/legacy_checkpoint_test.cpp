#include "ldm/io/legacy_checkpoint.h"

#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "tests/io/errors.h"
#include "tests/io/pickle_bytes.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace ldm::test;
using ldm::LegacyCheckpoint;

const std::string kStart = std::string("\x80\x02\x8a\nl\xfc\x9c", 7) + "F\xf9 j\xa8P\x19.";
const std::string kProtocol = "\x80\x02M\xe9\x03.";

/// What Python 2 writes for text.
std::string py2_text(const std::string& text) { return "U" + raw_number(text.size(), 1) + text; }

std::string py2_list(const std::vector<std::string>& items) {
  std::string out = "](";
  for (const std::string& item : items) out += item;
  return out + "e";
}

std::string old_storage(const std::string& key, std::int64_t numel) {
  return py_tuple({py2_text("storage"), py_global("torch", "FloatStorage"), py2_text(key),
                   py2_text("cuda:0"), py_int(numel), "N"}) +
         "Q";
}

std::string old_tensor(const std::string& storage, std::initializer_list<std::int64_t> sizes,
                       std::initializer_list<std::int64_t> strides) {
  return py_global("torch._utils", "_rebuild_tensor_v2") +
         py_tuple({storage, py_int(0), py_dims(sizes), py_dims(strides), "\x89", "N"}) + "R";
}

/// An OrderedDict as Python 2 pickles it, of one tensor "w".
std::string ordered_dict(const std::string& tensor, const std::string& memo = "q\x01") {
  return py_global("collections", "OrderedDict") + memo +
         py_tuple({py2_list({py2_list({py2_text("w"), tensor})})}) + "R";
}

std::string machine(const std::string& little_endian = "\x88") {
  return py_file(py_dict({"protocol_version", py_int(1001), "little_endian", little_endian}));
}

std::string floats(const std::vector<float>& values) {
  std::string out = raw_number(values.size(), 8);
  out.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  return out;
}

std::string whole(const std::string& dict, const std::vector<std::string>& keys,
                  const std::string& data) {
  std::vector<std::string> texts;
  for (const std::string& key : keys) texts.push_back(py2_text(key));
  return kStart + kProtocol + machine() + py_file(dict) + py_file(py2_list(texts)) + data;
}

std::string good() {
  return whole(ordered_dict(old_tensor(old_storage("17", 4), {2, 2}, {2, 1})), {"17"},
               floats({1, 2, 3, 4}));
}

std::vector<float> read(const LegacyCheckpoint& file, const std::string& name) {
  std::vector<float> values(file.find(name)->byte_size() / sizeof(float));
  file.read(name, std::as_writable_bytes(std::span(values)));
  return values;
}

std::string rule(const std::string& bytes) {
  return rule_of([&bytes] { LegacyCheckpoint(std::as_bytes(std::span(bytes)), "old.pth"); });
}

}  // namespace

TEST_CASE("a checkpoint in today's torch's old format is read") {
  const LegacyCheckpoint ordered(test_file("io/data/legacy_ordered.pth"));
  CHECK(ordered.names() == std::vector<std::string>{"bias", "weight"});
  CHECK(ordered.find("weight")->shape == std::vector<std::int64_t>{2, 3});
  CHECK(read(ordered, "weight") == std::vector<float>{-3, -2.5, -2, -1.5, -1, -0.5});
  CHECK(read(ordered, "bias") == std::vector<float>{-3, -2.5});
  const LegacyCheckpoint plain(test_file("io/data/legacy_plain.pth"));
  CHECK(read(plain, "b.c") == std::vector<float>{-3, -2.5, -2, -1.5});
  CHECK(plain.find("empty")->byte_size() == 0);
  CHECK(read(plain, "scalar") == std::vector<float>{-3});
  plain.check_unchanged();
}

TEST_CASE("a checkpoint as Python 2 wrote it is read") {
  const std::string bytes = good();
  const LegacyCheckpoint file(std::as_bytes(std::span(bytes)), "old.pth");
  CHECK(file.names() == std::vector<std::string>{"w"});
  CHECK(read(file, "w") == std::vector<float>{1, 2, 3, 4});
  std::vector<float> part(2);
  file.read_part("w", 4, std::as_writable_bytes(std::span(part)));
  CHECK(part == std::vector<float>{2, 3});
  CHECK(file.file_of("w") == "old.pth");
  CHECK(file.files().front().size == bytes.size());
}

TEST_CASE("a legacy checkpoint is told from others by its first bytes") {
  const TempDir folder;
  CHECK(ldm::is_legacy_checkpoint(folder.write("a.pth", good())));
  CHECK_FALSE(ldm::is_legacy_checkpoint(folder.write("b.pth", "PK\x03\x04 and more bytes")));
  CHECK_FALSE(ldm::is_legacy_checkpoint(folder.write("c.pth", "")));
  CHECK_FALSE(ldm::is_legacy_checkpoint(test_file("io/data/plain.ckpt")));
}

TEST_CASE("a legacy checkpoint cut anywhere is refused") {
  const std::string bytes = good();
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    INFO(length);
    const std::string found = rule(bytes.substr(0, length));
    CHECK(found != "none");
    CHECK_FALSE(found.empty());
  }
  CHECK(rule(bytes + "x") == "E_CKPT_RECORD");
}

TEST_CASE("what a legacy checkpoint says against itself is refused") {
  const std::string tensor = old_tensor(old_storage("17", 4), {2, 2}, {2, 1});
  const std::string data = floats({1, 2, 3, 4});
  CHECK(rule(whole(ordered_dict(tensor), {"17"}, data)) == "none");
  CHECK(rule(whole(ordered_dict(tensor), {"18"}, data)) == "E_CKPT_RECORD");
  CHECK(rule(whole(ordered_dict(tensor), {}, data)) == "E_CKPT_RECORD");
  CHECK(rule(whole(ordered_dict(tensor), {"17", "17"}, data + data)) == "E_CKPT_RECORD");
  CHECK(rule(whole(ordered_dict(tensor), {"17"}, floats({1, 2, 3}))) == "E_CKPT_RECORD");
  CHECK(rule(whole(ordered_dict(tensor), {"17"}, raw_number(~std::uint64_t{0}, 8))) ==
        "E_CKPT_RECORD");
  CHECK(rule(whole(ordered_dict(old_tensor(old_storage("17", 4), {2, 2}, {1, 2})), {"17"}, data)) ==
        "E_CKPT_VIEW");
  CHECK(rule(whole(ordered_dict(old_tensor(old_storage("17", 4), {2, 3}, {3, 1})), {"17"}, data)) ==
        "E_PKL_TENSOR");
  CHECK(rule(kStart + "\x80\x02M\xea\x03." + good().substr(21)) == "E_CKPT_VERSION");
  CHECK(rule(kStart + kProtocol + machine("\x89") + good().substr(21 + machine().size())) ==
        "E_CKPT_ENDIAN");
}

TEST_CASE("a legacy checkpoint runs no code and reads no odd dict") {
  const auto with = [](const std::string& dict) { return rule(whole(dict, {}, "")); };
  CHECK(with(py_global("os", "system") + py_tuple({py2_text("true")}) + "R") == "E_PKL_GLOBAL");
  const std::string ordered = py_global("collections", "OrderedDict");
  CHECK(with(ordered + py_tuple({py_int(1)}) + "R") == "E_PKL_CALL");
  CHECK(with(ordered + py_tuple({py2_list({py_int(1)})}) + "R") == "E_PKL_CALL");
  CHECK(with(ordered + py_tuple({py2_list({py2_list({"N"})})}) + "R") == "E_PKL_CALL");
  CHECK(with(ordered + py_tuple({py2_list({py2_list({"N", "N", "N"})})}) + "R") == "E_PKL_CALL");
  CHECK(with(py_floats("17", 4)) == "E_PKL_STORAGE");
}

TEST_CASE("the old forms stay refused in today's checkpoints") {
  const std::string tensor = old_tensor(old_storage("17", 4), {2, 2}, {2, 1});
  const auto rule_today = [](const std::string& body) {
    return rule_of([&body] { read_pickle(py_file(body)); });
  };
  CHECK(rule_today(py_dict({"w", tensor})) == "E_PKL_STORAGE");
  CHECK(rule_today(ordered_dict("N")) == "E_PKL_MEMO");
  CHECK(rule_today(ordered_dict("N", "")) == "E_PKL_CALL");
  CHECK(rule_of([] { read_pickle(py_file("}") + "x"); }) == "E_PKL_TRAIL");
}
