# libldm_mpi.so: what needs MPI's headers and library, dlopened by a training program that mpirun or
# srun started; the programs themselves never link MPI.
set(MPI_CXX_SKIP_MPICXX ON)
find_package(MPI QUIET COMPONENTS CXX)
if(NOT MPI_CXX_FOUND)
  message(STATUS "No MPI: libldm_mpi.so is not built; training under mpirun will not work.")
  return()
endif()
file(GLOB ldm_mpi_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/train/mpi/*.cpp")
add_library(ldm_mpi MODULE ${ldm_mpi_sources})
target_include_directories(ldm_mpi PRIVATE "${PROJECT_SOURCE_DIR}/include")
target_link_libraries(ldm_mpi PRIVATE MPI::MPI_CXX ldm_warnings)
set_target_properties(ldm_mpi PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
