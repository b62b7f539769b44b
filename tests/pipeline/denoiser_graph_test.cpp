#include "ldm/pipeline/denoiser_graph.h"

#include <ATen/ops/full.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include "tests/pipeline/pictures.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

namespace ldm {
namespace {

int g_recorded = 0, g_replayed = 0, g_deleted = 0;

/// A recording that is computed again on the CPU.
struct Recording {
  void (*run)(void*);
  void* context;
};

void* record(int, void (*run)(void*), void* context) {
  ++g_recorded;
  run(context);
  return new Recording{run, context};
}

void replay(void* graph) {
  ++g_replayed;
  const Recording& recording = *static_cast<Recording*>(graph);
  recording.run(recording.context);
}

void forget(void* graph) {
  ++g_deleted;
  delete static_cast<Recording*>(graph);
}

LdmCudaApi recorder() {
  g_recorded = g_replayed = g_deleted = 0;
  LdmCudaApi api{};
  api.graph_record = record;
  api.graph_replay = replay;
  api.graph_delete = forget;
  return api;
}

struct Call {
  at::Tensor sample, embedding, context;
};

at::Tensor text_for(const Components& components) {
  return test::seeded_randn({2, 77, components.unet.bare().shape().context_dim}, 1);
}

Call call(Components& components, std::uint64_t seed, const at::Tensor& context) {
  const at::Tensor timestep = at::full({}, 10.0 * static_cast<double>(seed));
  return {test::seeded_randn({1, 4, 8, 8}, seed), components.unet.get().embed(1, timestep, {}),
          context};
}

}  // namespace

TEST_CASE("a denoiser's calls are recorded at the second and computed again from there") {
  const auto components = test::tiny_components("sd1");
  const std::int64_t width = components->unet.bare().shape().context_dim;
  const at::Tensor text = text_for(*components);
  const c10::InferenceMode inference;
  const LdmCudaApi api = recorder();
  {
    DenoiserGraph graph(&api);
    DenoiserGraph plain(nullptr);
    const auto check = [&](const Call& c) {
      const at::Tensor expected = plain.denoise(*components, c.sample, c.embedding, c.context);
      const at::Tensor actual = graph.denoise(*components, c.sample, c.embedding, c.context);
      CHECK(actual.equal(expected));
      return actual;
    };
    const at::Tensor first = check(call(*components, 1, text));
    CHECK(g_recorded == 0);
    const at::Tensor second = check(call(*components, 2, text));
    const at::Tensor third = check(call(*components, 3, text));
    CHECK(g_recorded == 1);
    CHECK(g_replayed == 2);
    // Each call's prediction is its own: schedulers keep them.
    CHECK_FALSE(second.equal(third));

    const at::Tensor other = test::seeded_randn({2, 77, width}, 2);
    check(call(*components, 4, other));
    CHECK(g_replayed == 2);
    check(call(*components, 5, other));
    CHECK(g_recorded == 1);
    CHECK(g_replayed == 3);

    const at::Tensor longer = test::seeded_randn({2, 154, width}, 3);
    check(call(*components, 6, longer));
    CHECK(g_deleted == 1);
    check(call(*components, 7, longer));
    CHECK(g_recorded == 2);

    components->unet.release();
    check(call(*components, 8, longer));
    CHECK(g_deleted == 2);
    CHECK(g_replayed == 4);
    check(call(*components, 9, longer));
    graph.forget();
    CHECK(g_deleted == 3);
    check(call(*components, 10, longer));
    CHECK(g_replayed == 5);
  }
  CHECK(g_deleted == g_recorded);
}

TEST_CASE("what cannot be recorded is computed plainly from then on") {
  const auto components = test::tiny_components("sd1");
  const at::Tensor text = text_for(*components);
  const c10::InferenceMode inference;
  LdmCudaApi api = recorder();
  api.graph_record = [](int, void (*)(void*), void*) -> void* {
    ++g_recorded;
    TORCH_CHECK(false, "operation not permitted when stream is capturing");
  };
  DenoiserGraph graph(&api);
  DenoiserGraph plain(nullptr);
  for (std::uint64_t seed = 1; seed < 5; ++seed) {
    const Call c = call(*components, seed, text);
    CHECK(graph.denoise(*components, c.sample, c.embedding, c.context)
              .equal(plain.denoise(*components, c.sample, c.embedding, c.context)));
  }
  CHECK(g_recorded == 1);
}

TEST_CASE("running out of memory while recording is told, not hidden") {
  const auto components = test::tiny_components("sd1");
  const at::Tensor text = text_for(*components);
  const c10::InferenceMode inference;
  LdmCudaApi api = recorder();
  api.graph_record = [](int, void (*)(void*), void*) -> void* {
    C10_THROW_ERROR(OutOfMemoryError, "CUDA out of memory");
  };
  DenoiserGraph graph(&api);
  const Call c = call(*components, 1, text);
  graph.denoise(*components, c.sample, c.embedding, c.context);
  CHECK_THROWS_AS(graph.denoise(*components, c.sample, c.embedding, c.context),
                  c10::OutOfMemoryError);
}

}  // namespace ldm
