#pragma once

// The one place that includes Catch2: v2 (Debian 12) and v3 spell their headers differently.
#if __has_include(<catch2/catch.hpp>)
#include <catch2/catch.hpp>
using Catch::Matchers::Contains;
#else
#include <catch2/catch_all.hpp>
using Catch::Approx;
using Catch::Matchers::Contains;
#endif
