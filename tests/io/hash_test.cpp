#include "ldm/io/hash.h"

#include "tests/io/errors.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace ldm {
namespace {

TEST_CASE("SHA-256 of the FIPS 180-4 examples") {
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST_CASE("a file hashes as its bytes do, over several pieces") {
  const test::TempDir folder;
  const std::string bytes((std::size_t{2} << 20U) + 12345, 'x');
  CHECK(sha256_file(folder.write("a", bytes)) == sha256_hex(bytes));
  CHECK(sha256_file(folder.write("b", "")) == sha256_hex(""));
  Sha256 hash;
  hash.update(std::as_bytes(std::span("ab", 2)));
  hash.update(std::as_bytes(std::span("c", 1)));
  CHECK(hash.hex() == sha256_hex("abc"));
  const auto error = test::error_of([&] { sha256_file(folder / "none"); });
  REQUIRE(error);
  CHECK(error->code() == ErrorCode::kModel);
}

}  // namespace
}  // namespace ldm
