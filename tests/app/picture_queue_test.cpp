#include "ldm/app/picture_queue.h"

#include <chrono>
#include <future>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/support/catch.h"

namespace ldm::app {
namespace {

using File = std::vector<std::byte>;

File file_of(int number) { return {static_cast<std::byte>(number)}; }

}  // namespace

TEST_CASE("pictures are handed on in their order, however long each takes") {
  for (const std::size_t most : {0, 1, 3, 16}) {
    CAPTURE(most);
    PictureQueue queue(most);
    std::vector<int> order;
    for (int k = 0; k < 12; ++k) {
      const auto encode = [k] {
        std::this_thread::sleep_for(std::chrono::milliseconds(k % 3 == 0 ? 5 : 0));
        return file_of(k);
      };
      queue.add(encode, [&order](const File& file) { order.push_back(static_cast<int>(file[0])); });
      CHECK(order.size() + most >= static_cast<std::size_t>(k + 1));
    }
    queue.drain();
    CHECK(order == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  }
}

TEST_CASE("what is not encoded yet keeps those behind it waiting, and nobody else") {
  PictureQueue queue(4);
  std::promise<void> gate;
  int handed_on = 0;
  const auto commit = [&handed_on](const File&) { ++handed_on; };
  queue.add([open = gate.get_future().share()] { return open.wait(), file_of(0); }, commit);
  queue.add([] { return file_of(1); }, commit);
  queue.commit_ready();
  CHECK(handed_on == 0);
  gate.set_value();
  queue.drain();
  CHECK(handed_on == 2);
}

TEST_CASE("a picture that fails is told where it would be handed on, and the others are not lost") {
  PictureQueue queue(4);
  std::vector<int> order;
  const auto commit = [&order](const File& file) {
    if (file[0] == std::byte{1}) throw std::runtime_error("disk full");
    order.push_back(static_cast<int>(file[0]));
  };
  queue.add([]() -> File { throw std::runtime_error("no memory"); }, commit);
  for (int k = 1; k < 4; ++k) queue.add([k] { return file_of(k); }, commit);
  CHECK_THROWS_WITH(queue.drain(), "no memory");
  CHECK_THROWS_WITH(queue.drain(), "disk full");
  queue.drain();
  CHECK(order == std::vector<int>{2, 3});
}

}  // namespace ldm::app
