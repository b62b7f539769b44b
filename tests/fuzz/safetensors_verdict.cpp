// Reads file names from stdin and answers each with one line: the broken rule, or "ok" and the
// tensors. For differential_safetensors.py.
#include <iostream>
#include <string>

#include "ldm/core/error.h"
#include "ldm/io/safetensors.h"

int main() {
  for (std::string path; std::getline(std::cin, path);) {
    try {
      const ldm::SafetensorsFile file(path);
      std::cout << "ok";
      for (const ldm::TensorInfo& tensor : file.header().tensors) {
        std::cout << '\t';
        for (const char c : tensor.name) std::cout << static_cast<int>(c) << '.';
        std::cout << ':' << ldm::describe(tensor) << ':' << tensor.begin << ':' << tensor.end;
      }
    } catch (const ldm::Error& error) {
      std::cout << error.rule();
    }
    std::cout << std::endl;
  }
}
