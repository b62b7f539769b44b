# Imported targets for the pinned libtorch: ldm::torch_cpu (always) and ldm::torch_cuda (for the
# CUDA plugin). The PyPI wheel's own find_package(Torch) fails without a CUDA toolkit, so the two
# libraries that are needed are named here (src/decisions/0004-libtorch-from-pypi.md).
#
# LDM_LIBTORCH: a folder with lib/libtorch_cpu.so and include/ATen (…/site-packages/torch, an
# unpacked libtorch, or what scripts/setup.sh made).

set(LDM_TORCH_VERSION 2.11.0)
set(LDM_LIBTORCH "${PROJECT_SOURCE_DIR}/.deps/libtorch-${LDM_TORCH_VERSION}/torch"
    CACHE PATH "libtorch ${LDM_TORCH_VERSION}: a folder with lib/ and include/")

if(NOT EXISTS "${LDM_LIBTORCH}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "No libtorch in ${LDM_LIBTORCH}. Run scripts/setup.sh, "
                      "or pass -DLDM_LIBTORCH=DIR (a folder with lib/ and include/).")
endif()

set(ldm_torch_version_header "${LDM_LIBTORCH}/include/torch/headeronly/version.h")
if(NOT EXISTS "${ldm_torch_version_header}")
  set(ldm_torch_version_header "${LDM_LIBTORCH}/include/torch/csrc/api/include/torch/version.h")
endif()
file(STRINGS "${ldm_torch_version_header}" ldm_torch_version_lines
     REGEX "#define TORCH_VERSION_(MAJOR|MINOR|PATCH) [0-9]+")
string(REGEX REPLACE "[^0-9]*([0-9]+)[^0-9]+([0-9]+)[^0-9]+([0-9]+).*" "\\1.\\2.\\3"
       ldm_torch_found "${ldm_torch_version_lines}")
if(NOT ldm_torch_found VERSION_EQUAL LDM_TORCH_VERSION)
  message(FATAL_ERROR "libtorch in ${LDM_LIBTORCH} is ${ldm_torch_found}; "
                      "ldm-gen is built against ${LDM_TORCH_VERSION} only.")
endif()

add_library(ldm_torch_headers INTERFACE)
target_include_directories(ldm_torch_headers SYSTEM INTERFACE
  "${LDM_LIBTORCH}/include" "${LDM_LIBTORCH}/include/torch/csrc/api/include")

foreach(library c10 torch_cpu c10_cuda torch_cuda)
  add_library(ldm::${library} SHARED IMPORTED)
  set_target_properties(ldm::${library} PROPERTIES
    IMPORTED_LOCATION "${LDM_LIBTORCH}/lib/lib${library}.so" IMPORTED_NO_SONAME TRUE)
endforeach()

# libtorch_cpu.so finds libcupti and libcudart through its own run path; the linker does not follow
# that, hence --allow-shlib-undefined.
add_library(ldm_torch INTERFACE)
target_link_libraries(ldm_torch INTERFACE ldm_torch_headers ldm::torch_cpu ldm::c10)
target_link_options(ldm_torch INTERFACE -Wl,--allow-shlib-undefined)
