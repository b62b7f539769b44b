#include "ldm/nn/circular.h"

#include <utility>

namespace ldm::nn {
namespace {

thread_local CircularSides current_sides;

}  // namespace

CircularPadding::CircularPadding(CircularSides sides)
    : before_(std::exchange(current_sides, sides)) {}

CircularPadding::~CircularPadding() { current_sides = before_; }

CircularSides CircularPadding::now() { return current_sides; }

}  // namespace ldm::nn
