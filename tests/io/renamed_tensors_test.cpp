#include "ldm/io/renamed_tensors.h"

#include "tests/io/errors.h"
#include "tests/io/memory_tensors.h"
#include "tests/support/catch.h"

namespace ldm {
namespace {

using test::Contains;
using test::error_of;

constexpr std::uint64_t kRow = 2 * sizeof(float);

TEST_CASE("a renamed view splits, joins and reshapes without copying") {
  test::MemoryTensors memory;
  memory.add("fused", {6, 2});
  memory.add("more", {1, 2}, 100);
  RenamedTensors view(memory.source);
  view.add("q", {2, 2}, {{"fused", 0, kRow}, {"fused", 3 * kRow, kRow}});
  view.add("joined", {3, 2, 1, 1}, {{"more", 0, kRow}, {"fused", 4 * kRow, 2 * kRow}});
  view.add_whole("same", "more");
  CHECK(view.names() == std::vector<std::string>{"joined", "q", "same"});
  CHECK(test::floats(view, "q") == std::vector<float>{0, 1, 6, 7});
  CHECK(test::floats(view, "joined") == std::vector<float>{100, 101, 8, 9, 10, 11});
  CHECK(view.find("joined")->shape == std::vector<std::int64_t>{3, 2, 1, 1});
  CHECK(view.find("joined")->byte_size() == 3 * kRow);
  CHECK(view.pieces("q").size() == 2);
  CHECK(view.find("fused") == nullptr);
}

TEST_CASE("parts of a renamed tensor may begin and end anywhere") {
  test::MemoryTensors memory;
  memory.add("a", {3});
  memory.add("b", {3}, 10);
  RenamedTensors view(memory.source);
  view.add("both", {6}, {{"a", 0, 12}, {"b", 0, 12}});
  std::vector<std::byte> whole(24);
  view.read("both", whole);
  for (std::size_t begin = 0; begin <= 24; ++begin) {
    for (std::size_t length = 0; begin + length <= 24; ++length) {
      std::vector<std::byte> part(length);
      view.read_part("both", begin, part);
      REQUIRE(std::equal(part.begin(), part.end(), whole.begin() + static_cast<long>(begin)));
    }
  }
  std::vector<std::byte> one(1);
  CHECK(error_of([&] { view.read_part("both", 24, one); })->code() == ErrorCode::kInternal);
  CHECK(error_of([&] { view.read_part("none", 0, one); })->code() == ErrorCode::kModel);
}

TEST_CASE("a renamed view refuses what does not fit") {
  test::MemoryTensors memory;
  memory.add("a", {2, 2});
  memory.source->add_value("half", DType::F16, {2}, std::vector<std::byte>(4));
  RenamedTensors view(memory.source);
  const auto message = [&](std::vector<std::int64_t> shape, std::vector<TensorPiece> pieces) {
    return error_of([&] { view.add("x", std::move(shape), std::move(pieces)); })->message();
  };
  CHECK_THAT(message({3}, {{"none", 0, 12}}), Contains("none"));
  CHECK_THAT(message({3}, {{"a", 8, 12}}), Contains("does not hold"));
  CHECK_THAT(message({3}, {{"a", 0, 8}}), Contains("cannot be made of 8 bytes"));
  CHECK_THAT(message({3}, {{"a", 0, 8}, {"half", 0, 4}}), Contains("does not hold"));
  CHECK_THAT(message({-1}, {{"a", 0, 8}}), Contains("cannot be made"));
  view.add_whole("y", "a");
  CHECK_THAT(error_of([&] { view.add_whole("y", "a"); })->message(), Contains("both \"y\""));
}

TEST_CASE("joined sources keep their tensors under prefixes") {
  test::MemoryTensors one;
  one.add("w", {2});
  test::MemoryTensors two;
  two.add("w", {1}, 5);
  JoinedTensors joined;
  joined.add("a/", one.source);
  joined.add("b/", two.source);
  CHECK(joined.names() == std::vector<std::string>{"a/w", "b/w"});
  CHECK(test::floats(joined, "b/w") == std::vector<float>{5});
  CHECK(joined.find("a/w")->name == "a/w");
  CHECK(error_of([&] { joined.add("a/", two.source); }));
}

}  // namespace
}  // namespace ldm
