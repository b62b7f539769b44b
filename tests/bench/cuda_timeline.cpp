// Writes what a GPU did while any program ran, one line an activity, for scripts/cuda_timeline.py:
//
//     CUDA_INJECTION64_PATH=build/release/bin/libldm_cuda_timeline.so LDM_CUDA_TIMELINE=steps.tsv \
//       build/release/bin/ldm-gen --device cuda …
//
// The driver loads the library at its start. Columns: start and end in ns, stream, graph (0: none),
// what ran.
#include <cupti.h>
#include <cxxabi.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

constexpr std::size_t kBufferBytes = std::size_t{8} << 20;

std::FILE* g_out = nullptr;

void check(CUptiResult result, const char* call) {
  if (result == CUPTI_SUCCESS) return;
  const char* text = nullptr;
  cuptiGetResultString(result, &text);
  std::fprintf(stderr, "cuda_timeline: %s: %s\n", call, text != nullptr ? text : "unknown");
}

std::string readable(const char* name) {
  int status = 0;
  char* plain = abi::__cxa_demangle(name, nullptr, nullptr, &status);
  std::string text = status == 0 ? plain : name;
  std::free(plain);
  return text;
}

void write(std::uint64_t start, std::uint64_t end, unsigned stream, unsigned graph,
           const std::string& what) {
  std::fprintf(g_out, "%llu\t%llu\t%u\t%u\t%s\n", static_cast<unsigned long long>(start),
               static_cast<unsigned long long>(end), stream, graph, what.c_str());
}

void write(const CUpti_Activity* record) {
  if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
    const auto* kernel = reinterpret_cast<const CUpti_ActivityKernel10*>(record);
    write(kernel->start, kernel->end, kernel->streamId, kernel->graphId, readable(kernel->name));
  } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
    const auto* copy = reinterpret_cast<const CUpti_ActivityMemcpy6*>(record);
    write(copy->start, copy->end, copy->streamId, copy->graphId, "[copy]");
  } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMSET) {
    const auto* set = reinterpret_cast<const CUpti_ActivityMemset4*>(record);
    write(set->start, set->end, set->streamId, set->graphId, "[set]");
  }
}

void CUPTIAPI give_buffer(std::uint8_t** buffer, std::size_t* size, std::size_t* most_records) {
  *size = kBufferBytes;
  *most_records = 0;
  *buffer = static_cast<std::uint8_t*>(std::aligned_alloc(8, kBufferBytes));
}

void CUPTIAPI take_buffer(CUcontext, std::uint32_t, std::uint8_t* buffer, std::size_t,
                          std::size_t filled) {
  CUpti_Activity* record = nullptr;
  while (cuptiActivityGetNextRecord(buffer, filled, &record) == CUPTI_SUCCESS) write(record);
  std::free(buffer);
}

void finish() {
  check(cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED), "cuptiActivityFlushAll");
  std::fclose(g_out);
}

}  // namespace

/// What the driver calls.
extern "C" __attribute__((visibility("default"))) int InitializeInjection() {
  const char* path = std::getenv("LDM_CUDA_TIMELINE");
  g_out = path != nullptr ? std::fopen(path, "w") : nullptr;
  if (g_out == nullptr) {
    std::fprintf(stderr, "cuda_timeline: LDM_CUDA_TIMELINE must name a file to write\n");
    return 0;
  }
  check(cuptiActivityRegisterCallbacks(give_buffer, take_buffer), "cuptiActivityRegisterCallbacks");
  for (const CUpti_ActivityKind kind : {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL,
                                        CUPTI_ACTIVITY_KIND_MEMCPY, CUPTI_ACTIVITY_KIND_MEMSET}) {
    check(cuptiActivityEnable(kind), "cuptiActivityEnable");
  }
  std::atexit(finish);
  return 1;
}
