#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "ldm/io/file.h"
#include "ldm/io/image.h"
#include "ldm/io/png.h"
#include "tests/support/temp_dir.h"

namespace ldm::test {

/// A NumPy file of one float32, shape (1,).
inline std::string npy_bytes(float number) {
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }";
  header.resize(117, ' ');
  header += '\n';
  std::string bytes = std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(header.size());
  bytes += '\0';
  bytes += header;
  bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
  return bytes;
}

inline void write_npy(const std::filesystem::path& path, float number) {
  std::filesystem::create_directories(path.parent_path());
  write_file_atomic(path, npy_bytes(number), IfExists::kReplace);
}

inline void write_picture(const std::filesystem::path& path, const Image& image) {
  std::filesystem::create_directories(path.parent_path());
  write_file_atomic(path, encode_png(image), IfExists::kReplace);
}

/// Smooth colours, and noise of an amplitude on top.
inline Image noisy_picture(std::uint32_t seed, int side, int amplitude) {
  std::mt19937 random(seed);
  Image image{side, side, {}};
  for (int i = 0; i < side * side * 3; ++i) {
    const int base = 128 + (i / 3 % side) * 64 / side;
    const int noise =
        amplitude == 0 ? 0 : static_cast<int>(random() % static_cast<unsigned>(2 * amplitude));
    image.rgb.push_back(static_cast<std::uint8_t>(std::clamp(base + noise - amplitude, 0, 255)));
  }
  return image;
}

/// FOLDER/ref, p0, p1, judge: the one with more noise is further away.
inline void write_two_afc_set(const std::filesystem::path& folder, int count) {
  for (int i = 0; i < count; ++i) {
    const std::string stem = "item" + std::to_string(100 + i);
    const auto seed = static_cast<std::uint32_t>(10 * i);
    const bool second_is_nearer = i % 2 == 1;
    write_picture(folder / "ref" / (stem + ".png"), noisy_picture(seed, 24, 0));
    write_picture(folder / "p0" / (stem + ".png"),
                  noisy_picture(seed + 1, 24, second_is_nearer ? 90 : 10));
    write_picture(folder / "p1" / (stem + ".png"),
                  noisy_picture(seed + 2, 24, second_is_nearer ? 10 : 90));
    write_npy(folder / "judge" / (stem + ".npy"), second_is_nearer ? 1.0F : 0.0F);
  }
}

/// FOLDER/p0, p1, same: little noise counts as none.
inline void write_jnd_set(const std::filesystem::path& folder, int count) {
  for (int i = 0; i < count; ++i) {
    const std::string stem = "item" + std::to_string(100 + i);
    const auto seed = static_cast<std::uint32_t>(10 * i);
    write_picture(folder / "p0" / (stem + ".png"), noisy_picture(seed, 24, 0));
    write_picture(folder / "p1" / (stem + ".png"), noisy_picture(seed + 1, 24, i % 3 * 40 + 1));
    write_npy(folder / "same" / (stem + ".npy"), i % 3 == 0 ? 1.0F : 0.0F);
  }
}

}  // namespace ldm::test
