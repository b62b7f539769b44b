#include "ldm/schedulers/adams_bashforth.h"

#include <ATen/TensorOperators.h>

namespace ldm {

at::Tensor adams_bashforth(const std::vector<at::Tensor>& slopes) {
  switch (slopes.size()) {
    case 1:
      return slopes[0];
    case 2:
      return (3 * slopes[0] - slopes[1]) / 2;
    case 3:
      return (23 * slopes[0] - 16 * slopes[1] + 5 * slopes[2]) / 12;
    default:
      return (1.0 / 24) * (55 * slopes[0] - 59 * slopes[1] + 37 * slopes[2] - 9 * slopes[3]);
  }
}

}  // namespace ldm
