#include "ldm/train/nccl_group.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>

#include <array>
#include <mutex>

#include "tests/support/catch.h"
#include "tests/train/thread_group.h"

using ldm::cat;
using ldm::test::error_of;
using ldm::test::run_ranks;
using ldm::test::ThreadGroup;
using namespace ldm::train;

namespace {

constexpr int kWrong = 5;

/// What stands for a communicator: sums double, broadcasts do nothing, all end at the third look.
struct Communicator {
  int rank = 0;
  std::array<char, kLdmNcclIdBytes> id{};
  int looks = 0;
  bool fails = false;
};

std::mutex g_mutex;
std::vector<std::unique_ptr<Communicator>> g_opened;
int g_closed = 0;
int g_aborted = 0;

int unique_id(void* id) {
  std::memset(id, 'x', kLdmNcclIdBytes);
  return 0;
}

int open(int /*device*/, int rank, int size, const void* id, void** out) {
  if (size > 3) return kWrong;
  const std::lock_guard lock(g_mutex);
  auto made = std::make_unique<Communicator>();
  made->rank = rank;
  std::memcpy(made->id.data(), id, kLdmNcclIdBytes);
  *out = made.get();
  g_opened.push_back(std::move(made));
  return 0;
}

int sum(void* communicator, void* data, std::size_t count, int type, void** event) {
  if (type != kLdmNcclFloat) return kWrong;
  auto* numbers = static_cast<float*>(data);
  for (std::size_t i = 0; i < count; ++i) numbers[i] *= 2;
  *event = communicator;
  return 0;
}

int broadcast(void* communicator, void* /*data*/, std::size_t bytes, int root, void** event) {
  *event = communicator;
  return bytes == 8 && root == 1 ? 0 : kWrong;
}

int done(void* communicator, void** event, int* complete) {
  auto* c = static_cast<Communicator*>(communicator);
  if (c->fails) return kWrong;
  *complete = ++c->looks % 3 == 0 ? 1 : 0;
  if (*complete != 0) *event = nullptr;
  return 0;
}

int never_done(void* /*communicator*/, void** /*event*/, int* complete) {
  *complete = 0;
  return 0;
}

void close(void* /*communicator*/, int abort) {
  const std::lock_guard lock(g_mutex);
  ++(abort != 0 ? g_aborted : g_closed);
}

const char* error_text(int error) { return error == kWrong ? "the fifth error" : "another"; }

constexpr LdmNcclApi kFake = {kLdmNcclAbi, unique_id, open,  sum,
                              broadcast,   done,      close, error_text};
const at::Device kDevice(at::kCPU);
constexpr auto kLong = std::chrono::seconds(20);

}  // namespace

TEST_CASE("an NCCL group shares rank 0's identifier and waits for its sums") {
  g_opened.clear();
  g_closed = 0;
  run_ranks(3, [](const std::shared_ptr<ThreadGroup>& host) {
    NcclGroup group(kFake, kDevice, host, kLong);
    CHECK_RANK(group.name() == "nccl");
    CHECK_RANK(group.rank() == host->rank());
    CHECK_RANK(group.size() == 3);
    at::Tensor numbers = at::full({4}, 1.5);
    const auto work = group.all_reduce_sum(numbers);
    work->wait();
    work->wait();
    CHECK_RANK(at::equal(numbers, at::full({4}, 3.0)));
    CHECK_RANK(host->sums.empty());
    at::Tensor two = at::full({2}, 1.0);
    group.broadcast(two, 1)->wait();
    group.close();
  });
  CHECK(g_closed == 3);
  REQUIRE(g_opened.size() == 3);
  for (const auto& one : g_opened) CHECK(one->id == g_opened[0]->id);
  CHECK(g_opened[0]->id[0] == 'x');
}

TEST_CASE("what NCCL reports, and a rank that does not answer, are errors") {
  g_opened.clear();
  g_aborted = 0;
  run_ranks(1, [](const std::shared_ptr<ThreadGroup>& host) {
    at::Tensor numbers = at::full({4}, 1.5);
    const std::string failed = error_of([&] {
      NcclGroup group(kFake, kDevice, host, kLong);
      const auto work = group.all_reduce_sum(numbers);
      g_opened.back()->fails = true;
      work->wait();
    });
    CHECK_RANK(failed == "rank 0 of 1 lost the run: NCCL: the fifth error");
    const std::string late = error_of([&] {
      LdmNcclApi slow = kFake;
      slow.done = never_done;
      NcclGroup group(slow, kDevice, host, std::chrono::milliseconds(30));
      group.all_reduce_sum(numbers)->wait();
    });
    CHECK_RANK(late == "rank 0 of 1 lost the run: NCCL: some rank does not answer");
  });
  // An exception passed both times, so nobody was waited for.
  CHECK(g_aborted == 2);
}

TEST_CASE("a communicator that cannot be opened is an error on every rank") {
  run_ranks(4, [](const std::shared_ptr<ThreadGroup>& host) {
    const std::string error = error_of([&] { NcclGroup(kFake, kDevice, host, kLong); });
    CHECK_RANK(error == cat("rank ", host->rank(), " of 4 lost the run: NCCL: the fifth error"));
  });
}

TEST_CASE("without a GPU, training on CUDA is refused") {
  const NcclState state = nccl_state();
  if (state.api != nullptr) return;
  CHECK_FALSE(state.why_not.empty());
  LaunchRequest request;
  request.cuda = true;
  request.environment = {};
  CHECK(error_of([&] { training_device(request); }).find("cannot train on CUDA: ") == 0);
  request.cuda = false;
  CHECK(training_device(request).is_cpu());
}
