// stb_image, PNG and JPEG only, from memory only. Zeroed memory: version 2.27 reads parts of its
// own state before they are set when a file leaves tables out.
#include <cstdlib>

#include "ldm/io/stb_decode.h"

#define STBI_MALLOC(size) std::calloc(1, size)
#define STBI_REALLOC(pointer, size) std::realloc(pointer, size)
#define STBI_FREE(pointer) std::free(pointer)
#define STBI_ASSERT(condition) static_cast<void>(0)
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
// 2.27 shifts by too much and overflows integers on broken JPEG data: wrong pixels, never a wrong
// address. So UBSan is told not to stop for these two; ASan and all its other checks stay on.
#include <climits>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstring>
#ifdef __SSE2__
#include <emmintrin.h>
#endif
#ifdef __clang__
#pragma clang attribute push(__attribute__((no_sanitize("shift", "signed-integer-overflow"))), \
                             apply_to = function)
#else
// GCC can attach the attribute only where a function is declared.
#define static __attribute__((no_sanitize("shift,signed-integer-overflow"))) static
#pragma GCC push_options
#pragma GCC optimize("wrapv")
#endif
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wattributes"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop
#ifdef __clang__
#pragma clang attribute pop
#else
#undef static
#pragma GCC pop_options
#endif

#include <memory>

#include "ldm/core/error.h"

namespace ldm {

Image stb_decode_rgb(std::span<const std::byte> bytes, const std::string& name) {
  struct Free {
    void operator()(stbi_uc* pixels) const { stbi_image_free(pixels); }
  };
  int width = 0;
  int height = 0;
  int channels = 0;
  const std::unique_ptr<stbi_uc, Free> pixels(
      stbi_load_from_memory(reinterpret_cast<const stbi_uc*>(bytes.data()),
                            static_cast<int>(bytes.size()), &width, &height, &channels, 3));
  if (!pixels) {
    const char* reason = stbi_failure_reason();
    throw Error::input(name + ": cannot be decoded: " + (reason != nullptr ? reason : "unknown"),
                       "save the picture again as an ordinary PNG or JPEG");
  }
  Image image{width, height, {}};
  const std::size_t size =
      std::size_t{3} * static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
  image.rgb.assign(pixels.get(), pixels.get() + size);
  return image;
}

}  // namespace ldm
