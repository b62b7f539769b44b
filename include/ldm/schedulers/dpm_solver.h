#pragma once

#include <string>

namespace ldm {

/// The four families of update of DPM-Solver (Lu et al. 2022a, 2022b).
enum class SolverAlgorithm {
  kDpmSolver,       ///< integrates ε
  kDpmSolverPP,     ///< integrates x_0
  kSdeDpmSolver,    ///< ε, with fresh noise
  kSdeDpmSolverPP,  ///< x_0, with fresh noise
};

/// The algorithm that algorithm_type names ("deis" means dpmsolver++, as in diffusers);
/// Error::model for another name.
SolverAlgorithm parse_solver_algorithm(const std::string& name);
bool draws_noise(SolverAlgorithm algorithm);
bool predicts_x0(SolverAlgorithm algorithm);

/// A noise level in the variance-preserving form x = alpha x_0 + sigma ε.
struct SolverLevel {
  float alpha;
  float sigma;
  float lambda;  ///< log(alpha / sigma), half the log-SNR; +inf at sigma 0
};

/// The level where sqrt((1-ᾱ)/ᾱ) is `sigma`.
SolverLevel solver_level(float sigma);

/// The factors of one update from level s to level t:
/// x_t = sample·x_s + d0·D0 (+ d1·D1 (+ d2·D2)) + noise·z, D_k the k-th divided difference.
struct SolverFactors {
  float sample;
  float d0;
  float d1_midpoint;  ///< D1's factor in second order, solver_type midpoint
  float d1_heun;      ///< the same for heun, and in third order
  float d2;           ///< third order; no sde-dpmsolver has it
  float noise;
};

SolverFactors solver_factors(SolverAlgorithm algorithm, const SolverLevel& s, const SolverLevel& t);

}  // namespace ldm
