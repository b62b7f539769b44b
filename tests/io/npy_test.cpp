#include "ldm/io/npy.h"

#include <cstring>
#include <limits>
#include <string>

#include "tests/io/errors.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace {

using ldm::test::Contains;
using ldm::test::error_of;

template <class Number>
std::string raw(Number number) {
  std::string bytes(sizeof number, '\0');
  std::memcpy(bytes.data(), &number, sizeof number);
  return bytes;
}

std::string npy(const std::string& header, const std::string& data, char version = 1) {
  std::string bytes = "\x93NUMPY";
  bytes += version;
  bytes += '\0';
  bytes += static_cast<char>(header.size());
  bytes += '\0';
  if (version > 1) bytes += std::string(2, '\0');
  return bytes + header + data;
}

double read(const std::string& bytes) {
  return ldm::read_npy_scalar(std::as_bytes(std::span(bytes.data(), bytes.size())), "judge.npy");
}

const std::string kScalar = "{'descr': '<f4', 'fortran_order': False, 'shape': (), }\n";

}  // namespace

TEST_CASE("a .npy file of one number is read as numpy writes it") {
  CHECK(read(npy(kScalar, raw(0.25F))) == 0.25);
  CHECK(read(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }  \n", raw(0.1))) ==
        0.1);
  CHECK(read(npy("{'shape': (1, 1, 1), 'descr': '<f4', 'fortran_order': True}", raw(1.0F))) == 1);
  CHECK(read(npy(kScalar, raw(0.5F), 2)) == 0.5);
  CHECK(read(npy(kScalar, raw(0.5F), 3)) == 0.5);
}

TEST_CASE("any other .npy file is refused with its name") {
  const std::string bytes = GENERATE_COPY(
      std::string(), std::string("\x93NUMPY"), std::string("PK\x03\x04 and more bytes"),
      npy(kScalar, raw(0.25F), 9), npy(kScalar, ""), npy(kScalar, raw(0.25)),
      npy(kScalar, raw(std::numeric_limits<float>::quiet_NaN())),
      npy(kScalar, raw(std::numeric_limits<float>::infinity())),
      npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", raw(0.25)),
      npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0,), }", ""),
      npy("{'descr': '>f4', 'fortran_order': False, 'shape': (), }", raw(0.25F)),
      npy("{'descr': '|O', 'fortran_order': False, 'shape': (), }", raw(0.25F)),
      npy("{'descr': '<f4', 'shape': (), }", raw(0.25F)),
      npy("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}", raw(0.25F)),
      npy("{'descr': '<f4', 'fortran_order': False, 'shape': (), 'more': 1}", raw(0.25F)),
      npy("{'descr': '<f4' 'fortran_order': False 'shape': ()}", raw(0.25F)),
      npy("{'descr': '<f4', 'fortran_order': __import__('os'), 'shape': ()}", raw(0.25F)),
      npy(kScalar + "x", raw(0.25F)), npy("{", raw(0.25F)), npy("", raw(0.25F)),
      npy(kScalar, raw(0.25F)).substr(0, 30));
  const auto error = error_of([&bytes] { read(bytes); });
  REQUIRE(error);
  CHECK(error->exit_code() == 3);
  CHECK_THAT(error->message(), Contains("judge.npy"));
}

TEST_CASE("a .npy file on disk is read; a missing or huge one is an input error") {
  const ldm::test::TempDir folder;
  CHECK(ldm::load_npy_scalar(folder.write("a.npy", npy(kScalar, raw(0.75F)))) == 0.75);
  const auto missing = error_of([&folder] { ldm::load_npy_scalar(folder / "b.npy"); });
  REQUIRE(missing);
  CHECK(missing->exit_code() == 3);
  folder.write("c.npy", std::string(100000, 'x'));
  const auto huge = error_of([&folder] { ldm::load_npy_scalar(folder / "c.npy"); });
  REQUIRE(huge);
  CHECK(huge->exit_code() == 3);
}
