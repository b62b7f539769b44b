#include "ldm/io/pickle.h"

#include <algorithm>
#include <set>
#include <vector>

#include "ldm/io/pickle_globals.h"
#include "tests/io/errors.h"
#include "tests/io/pickle_bytes.h"
#include "tests/support/catch.h"

namespace ldm {
namespace {

using test::Contains;
using test::error_of;
using test::py_dict;
using test::py_file;
using test::py_floats;
using test::py_global;
using test::py_int;
using test::py_text;
using test::read_pickle;
using test::rule_of;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

TEST_CASE("pickle: every kind of value is described") {
  std::string good = "\x80\x02(N\x88\x89K\x07M\x01\x02J\xFE\xFF\xFF\xFF";
  good += std::string("\x8a\0", 2) + "\x8a\x01\xFF" + py_int(INT64_MIN);
  good += std::string("G\x3F\xF8\0\0\0\0\0\0", 9) + py_text("\xC3\xA9") + "U\x02hi)]Naq" +
          std::string(1, '\0') + "}NNst.";
  const Pickle pickle = parse_pickle(bytes_of(good));
  REQUIRE(pickle.root.kind == PickleKind::kTuple);
  const auto items = pickle.arena.tuple(pickle.root);
  REQUIRE(items.size() == 15);
  CHECK(items[0].kind == PickleKind::kNone);
  CHECK((items[1].kind == PickleKind::kBool && items[1].data == 1));
  CHECK((items[2].kind == PickleKind::kBool && items[2].data == 0));
  const std::vector<std::int64_t> numbers = {7, 0x201, -2, 0, -1, INT64_MIN};
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    CHECK(items[3 + i].kind == PickleKind::kInt);
    CHECK(static_cast<std::int64_t>(items[3 + i].data) == numbers[i]);
  }
  CHECK((items[9].kind == PickleKind::kFloat && items[9].data == 0x3FF8000000000000U));
  CHECK(pickle.arena.text(items[10]) == "\xC3\xA9");
  CHECK(pickle.arena.text(items[11]) == "hi");
  CHECK((items[12].kind == PickleKind::kTuple && items[12].data == 0));
  CHECK(items[13].kind == PickleKind::kList);
  REQUIRE(pickle.arena.first(items[13]) != nullptr);
  CHECK(pickle.arena.after(*pickle.arena.first(items[13])) == nullptr);
  CHECK(items[14].kind == PickleKind::kDict);
}

TEST_CASE("pickle: of all 256 bytes 33 are operations") {
  const std::string accepted =
      std::string("(.NJKMGXU)t]ae}suqrhjcQRb\x80\x81\x85\x86\x87\x88\x89") + "\x8a";
  CHECK(std::set<char>(accepted.begin(), accepted.end()).size() == 33);
  for (int code = 0; code < 256; ++code) {
    const std::string file = std::string("\x80\x02N") + static_cast<char>(code);
    const auto error = error_of([&] { parse_pickle(bytes_of(file)); });
    const bool is_known = accepted.find(static_cast<char>(code)) != std::string::npos;
    INFO(code);
    if (is_known) {
      CHECK((!error || error->rule() != "E_PKL_OPCODE"));
      continue;
    }
    REQUIRE(error);
    CHECK(error->rule() == "E_PKL_OPCODE");
    const std::string name = pickle_opcode_name(static_cast<unsigned char>(code));
    CHECK_THAT(error->message(), Contains(name) && Contains("at byte 3"));
    CHECK(error->exit_code() == 4);
  }
  CHECK(pickle_opcode_name(0x93) == "STACK_GLOBAL");
  CHECK(pickle_opcode_name('i') == "INST");
  CHECK(pickle_opcode_name(0x7F) == "0x7F");
}

TEST_CASE("pickle: allow-listed names are described, never made") {
  for (const KnownGlobal& known : known_globals()) {
    const std::string file = py_file(py_global(std::string(known.module), std::string(known.name)));
    const Pickle pickle = parse_pickle(bytes_of(file));
    CHECK(pickle.root.kind == PickleKind::kGlobal);
    CHECK(known_globals()[pickle.root.index].name == known.name);
  }
  CHECK(known_globals().size() == 36);
  const std::string set = py_file(py_global("builtins", "set") +
                                  "](K\x01K\x02"
                                  "e\x85R");
  CHECK(parse_pickle(bytes_of(set)).root.kind == PickleKind::kOpaque);
  // numpy.float64(0.25) as protocol 2 writes it.
  const std::string scalar =
      py_file(py_global("numpy.core.multiarray", "scalar") + "(" + py_global("numpy", "dtype") +
              "(" + py_text("f8") + "\x89\x88tR(K\x03" + py_text("<") +
              "NNNJ\xFF\xFF\xFF\xFFJ\xFF\xFF\xFF\xFFK" + std::string(1, '\0') + "tb" +
              py_global("_codecs", "encode") + "(" + py_text("x") + py_text("latin1") + "tRtR");
  CHECK(parse_pickle(bytes_of(scalar)).root.kind == PickleKind::kOpaque);
}

TEST_CASE(
    "pickle: unknown names become opaque only when asked for, and then nothing is read of them") {
  const std::string file = py_file(
      py_dict({"state_dict", py_dict({"w", py_floats("0", 4)}), "hparams",
               py_global("omegaconf", "DictConfig") + ")\x81}b" + "(" + py_text("a") + "K\x01u",
               "call", py_global("os", "system") + py_text("true") + "\x85R"}));
  CHECK(rule_of([&] { read_pickle(file); }) == "E_PKL_GLOBAL");
  PickleLimits limits;
  limits.opaque_globals = true;
  const TorchStateDict dict = read_pickle(file, limits);
  REQUIRE(dict.tensors.size() == 1);
  CHECK(dict.tensors[0].name == "w");
}

TEST_CASE("pickle: the limits hold") {
  const std::string file = py_file(py_dict({"w", py_floats("0", 4)}));
  PickleLimits limits;
  limits.max_operations = 3;
  CHECK(rule_of([&] { read_pickle(file, limits); }) == "E_PKL_LIMIT");
  limits = {};
  limits.max_memo = 1;
  CHECK(rule_of([&] { read_pickle("\x80\x02}q" + std::string(1, '\0') + "q\x01.", limits); }) ==
        "E_PKL_LIMIT");
  limits = {};
  limits.max_tensor_bytes = 15;
  CHECK(rule_of([&] { read_pickle(file, limits); }) == "E_PKL_TENSOR");
  limits.max_tensor_bytes = 16;
  CHECK(rule_of([&] { read_pickle(file, limits); }) == "none");
}

TEST_CASE("pickle: every truncation of a file is refused") {
  const std::string file = py_file(py_dict({"w", py_floats("0", 4), "b", py_int(3), "l",
                                            "](K\x01K\x02"
                                            "e",
                                            "t", "K\x01\x85"}));
  CHECK(rule_of([&] { read_pickle(file); }) == "none");
  for (std::size_t size = 0; size < file.size(); ++size) {
    const auto error = error_of([&] { read_pickle(file.substr(0, size)); });
    REQUIRE(error);
    CHECK(error->exit_code() == 4);
    CHECK_FALSE(error->rule().empty());
  }
}

TEST_CASE("pickle: memory grows with the file, not with what it declares") {
  // A megabyte of the operations that keep most for their size.
  for (const std::string op : {"]", "}", "N", ")", "N\x85", "]q"}) {
    std::string file = "\x80\x02";
    std::size_t slot = 0;
    while (file.size() < (std::size_t{1} << 20U)) {
      if (op == "]q") {
        file += "]r" + test::raw_number(slot++, 4);
      } else {
        file += op;
      }
    }
    CHECK(rule_of([&] { read_pickle(file + "."); }) == "E_PKL_STACK");
  }
}

}  // namespace
}  // namespace ldm
