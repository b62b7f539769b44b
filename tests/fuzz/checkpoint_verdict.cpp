// Reads file names from stdin and answers each with one line: the broken rule, or "ok" and the
// tensors with their contents in hex. For differential_checkpoint.py.
#include <iostream>
#include <string>
#include <vector>

#include "ldm/core/error.h"
#include "ldm/io/torch_checkpoint.h"

static std::string hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out += kDigits[static_cast<unsigned char>(c) >> 4U];
    out += kDigits[static_cast<unsigned char>(c) & 15U];
  }
  return out;
}

static std::string verdict(const std::string& path) {
  const ldm::TorchCheckpoint checkpoint(path);
  constexpr std::uint64_t kMost = 1U << 20U;
  std::string line = "ok";
  for (const std::string& name : checkpoint.names()) {
    const ldm::TensorInfo& info = *checkpoint.find(name);
    std::string contents(static_cast<std::size_t>(info.byte_size() <= kMost ? info.byte_size() : 0),
                         '\0');
    checkpoint.read_part(name, 0, std::as_writable_bytes(std::span(contents)));
    line += "\t" + hex(name) + ":" + ldm::describe(info) + ":" + hex(contents);
  }
  return line;
}

int main() {
  for (std::string path; std::getline(std::cin, path);) {
    try {
      std::cout << verdict(path);
    } catch (const ldm::Error& error) {
      std::cout << error.rule();
    }
    std::cout << std::endl;
  }
}
