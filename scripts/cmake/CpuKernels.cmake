# The kernels of src/kernels/cpu: a source file is compiled for the instruction set that its name ends in
# and chosen at run time. They see no header of libtorch.
set(ldm_avx2 -mavx2 -mfma)
set(ldm_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma)
set(ldm_avx512_bf16 ${ldm_avx512} -mavx512bf16)
set(ldm_avx512_vnni ${ldm_avx512} -mavx512vnni)
set(ldm_avx512_vnni_bf16 ${ldm_avx512_bf16} -mavx512vnni)

# GCC 12 takes the undefined vectors of its own intrinsics for mistakes.
set(ldm_cpu_warnings "$<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized;-Wno-maybe-uninitialized>")
file(GLOB ldm_cpu_kernels CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/kernels/cpu/*.cpp")
foreach(source ${ldm_cpu_kernels})
  string(REGEX MATCH "(avx2|avx512(_vnni)?(_bf16)?)\\.cpp$" isa "${source}")
  string(REGEX REPLACE "\\.cpp$" "" isa "${isa}")
  set_source_files_properties("${source}" PROPERTIES
    COMPILE_OPTIONS "-O3;${ldm_${isa}};${ldm_cpu_warnings}" SKIP_PRECOMPILE_HEADERS ON)
endforeach()
target_sources(ldm_kernels PRIVATE ${ldm_cpu_kernels})

# What cuts the work into jobs: at::parallel_for needs OpenMP in the source that calls it.
find_package(OpenMP REQUIRED COMPONENTS CXX)
set_source_files_properties(src/kernels/attention.cpp src/kernels/int8_linear.cpp src/kernels/norm.cpp src/kernels/winograd.cpp
  src/loading/lazy_module.cpp PROPERTIES COMPILE_OPTIONS "${OpenMP_CXX_FLAGS}" SKIP_PRECOMPILE_HEADERS ON)
target_link_libraries(ldm_kernels PUBLIC ${OpenMP_CXX_LIBRARIES})
