#include "ldm/core/philox.h"

#include <cmath>
#include <numbers>

namespace ldm {
namespace {

constexpr std::array<std::uint32_t, 2> kMultipliers = {0xD2511F53U, 0xCD9E8D57U};
constexpr std::array<std::uint32_t, 2> kWeyl = {0x9E3779B9U, 0xBB67AE85U};
constexpr int kRounds = 10;
constexpr double kUnit = 0x1p-32;

std::uint32_t high_word(std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32U); }
std::uint32_t low_word(std::uint64_t x) { return static_cast<std::uint32_t>(x); }

}  // namespace

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                    std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t a = std::uint64_t{kMultipliers[0]} * counter[0];
    const std::uint64_t b = std::uint64_t{kMultipliers[1]} * counter[2];
    counter = {high_word(b) ^ counter[1] ^ key[0], low_word(b), high_word(a) ^ counter[3] ^ key[1],
               low_word(a)};
    key[0] += kWeyl[0];
    key[1] += kWeyl[1];
  }
  return counter;
}

void philox_normal(std::uint64_t seed, std::uint32_t draw, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto words =
        philox({draw, 0, low_word(i), high_word(i)}, {low_word(seed), high_word(seed)});
    // cuRAND's Box–Muller; of its two numbers torch keeps the sine's for the element.
    const auto u = static_cast<float>(words[0] * kUnit + kUnit / 2);
    const auto v = static_cast<float>((words[1] * kUnit + kUnit / 2) * 2 * std::numbers::pi);
    out[i] = std::sqrt(-2.0F * std::log(u)) * std::sin(v);
  }
}

}  // namespace ldm
