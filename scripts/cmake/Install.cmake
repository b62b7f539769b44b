# `cmake --install` and CPack (.deb, .tar.gz): programs in bin/, the libtorch libraries they load in
# lib/ldm-gen (found by a run path relative to the programs, so the folder can be moved), weights
# and configs in share/ldm-gen, manual, completions, licences.
#
# Components: main (everything that runs on a CPU), mpi and cuda (a plugin each).
include(GNUInstallDirs)
# Programs look for ../lib/ldm-gen, whatever the system calls its library folder.
set(ldm_private "lib/ldm-gen")
set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME main)

set(ldm_programs ldm-gen ldm-convert ldm-eval ldm-lpips ldm-train-autoencoder ldm-train-denoiser)
set_target_properties(${ldm_programs} PROPERTIES INSTALL_RPATH "\$ORIGIN/../lib/ldm-gen")
install(TARGETS ${ldm_programs} RUNTIME_DEPENDENCY_SET ldm_libraries
        RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

# Of the libraries that the programs load, those that came with libtorch; the rest is the system's.
get_filename_component(ldm_torch_home "${LDM_LIBTORCH}" DIRECTORY)
file(REAL_PATH "${LDM_LIBTORCH}" ldm_torch_real)
get_filename_component(ldm_torch_real_home "${ldm_torch_real}" DIRECTORY)
set(ldm_torch_patterns)
foreach(folder "${LDM_LIBTORCH}/lib" "${ldm_torch_home}/nvidia" "${ldm_torch_real}/lib"
        "${ldm_torch_real_home}/nvidia")
  string(REGEX REPLACE "([][.+*?^$()|\\])" "\\\\\\1" folder "${folder}")
  list(APPEND ldm_torch_patterns "^${folder}/")
endforeach()
install(RUNTIME_DEPENDENCY_SET ldm_libraries POST_INCLUDE_REGEXES ${ldm_torch_patterns}
        POST_EXCLUDE_REGEXES ".*" LIBRARY DESTINATION ${ldm_private})

foreach(plugin mpi cuda)
  if(TARGET ldm_${plugin})
    set_target_properties(ldm_${plugin} PROPERTIES INSTALL_RPATH "\$ORIGIN")
    install(TARGETS ldm_${plugin} LIBRARY DESTINATION ${ldm_private} COMPONENT ${plugin})
  endif()
endforeach()
# What the CUDA plugin loads, where scripts/setup.sh brought all of it.
file(GLOB ldm_cuda_libraries "${ldm_torch_home}/nvidia/*/lib/*.so*"
     "${LDM_LIBTORCH}/lib/lib*cuda*.so" "${LDM_LIBTORCH}/lib/libtorch_nvshmem.so"
     "${LDM_LIBTORCH}/lib/libcaffe2_nvrtc.so")
list(FILTER ldm_cuda_libraries EXCLUDE REGEX "/lib(cupti|cudart)\\.so")  # these are in main
set(ldm_cuda_complete FALSE)
if(TARGET ldm_cuda AND ldm_cuda_libraries MATCHES "libcudnn")
  set(ldm_cuda_complete TRUE)
  install(FILES ${ldm_cuda_libraries} DESTINATION ${ldm_private} COMPONENT cuda)
endif()

set(ldm_share "${CMAKE_INSTALL_DATADIR}/ldm-gen")
install(DIRECTORY configs DESTINATION ${ldm_share})
install(DIRECTORY weights/default weights/tokenizers DESTINATION ${ldm_share}/weights
        PATTERN "contact-sheet.png" EXCLUDE)

# The manual and the completions are the program's own words.
set(ldm_texts "${PROJECT_BINARY_DIR}/install-texts")
execute_process(COMMAND git log -1 --format=%ct WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
                OUTPUT_VARIABLE ldm_source_date OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
install(CODE "
  if(NOT DEFINED ENV{SOURCE_DATE_EPOCH})
    set(ENV{SOURCE_DATE_EPOCH} \"${ldm_source_date}\")
  endif()
  file(MAKE_DIRECTORY \"${ldm_texts}\")
  foreach(kind bash zsh fish man)
    execute_process(COMMAND \"$<TARGET_FILE:ldm-gen>\" completion \${kind}
                    OUTPUT_FILE \"${ldm_texts}/ldm-gen.\${kind}\" COMMAND_ERROR_IS_FATAL ANY)
  endforeach()")
set(ldm_data "${CMAKE_INSTALL_DATADIR}")
install(FILES "${ldm_texts}/ldm-gen.man" DESTINATION ${CMAKE_INSTALL_MANDIR}/man1
        RENAME ldm-gen.1)
install(FILES "${ldm_texts}/ldm-gen.bash"
        DESTINATION ${ldm_data}/bash-completion/completions RENAME ldm-gen)
install(FILES "${ldm_texts}/ldm-gen.zsh"
        DESTINATION ${ldm_data}/zsh/vendor-completions RENAME _ldm-gen)
install(FILES "${ldm_texts}/ldm-gen.fish" DESTINATION ${ldm_data}/fish/vendor_completions.d)

# Licences of the project and of everything that is shipped or compiled in.
set(ldm_doc "${CMAKE_INSTALL_DATADIR}/doc/ldm-gen")
install(FILES LICENSE DESTINATION ${ldm_doc} RENAME copyright)
install(FILES README.md CHANGELOG.md DESTINATION ${ldm_doc})
file(GLOB ldm_wheel_licenses RELATIVE "${ldm_torch_home}"
     "${ldm_torch_home}/*.dist-info/licenses/*")
if(NOT ldm_wheel_licenses)
  message(STATUS "No licence texts beside libtorch: add its LICENSE and NOTICE to packages.")
endif()
foreach(file ${ldm_wheel_licenses})
  string(REGEX REPLACE "^([^/-]+)-.*" "\\1" name "${file}")
  install(FILES "${ldm_torch_home}/${file}" DESTINATION ${ldm_doc}/licenses/${name})
endforeach()
# libgomp comes with libtorch; of the others the headers are compiled in.
foreach(package libgomp1 nlohmann-json3-dev libcli11-dev libstb-dev)
  if(EXISTS "/usr/share/doc/${package}/copyright")
    file(REAL_PATH "/usr/share/doc/${package}/copyright" ldm_copyright)
    install(FILES "${ldm_copyright}" DESTINATION ${ldm_doc}/licenses/${package})
  endif()
endforeach()

set(CPACK_GENERATOR "DEB;TGZ")
set(CPACK_PACKAGE_NAME ldm-gen)
set(CPACK_PACKAGE_VENDOR "ldm-gen")
set(CPACK_PACKAGE_CONTACT "ldm-gen developers <ldm-gen@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGE_DESCRIPTION "Makes pictures from text with Stable Diffusion models from a shell: \
one program that reads the published model folders and files, with a small model of its own, and \
the programs that convert, train and measure such models.")
string(CONCAT CPACK_PACKAGE_FILE_NAME "ldm-gen-${PROJECT_VERSION}-${CMAKE_SYSTEM_NAME}-"
       "${CMAKE_SYSTEM_PROCESSOR}")
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_THREADS 0)
set(CPACK_COMPONENTS_ALL main)
if(TARGET ldm_mpi)
  list(APPEND CPACK_COMPONENTS_ALL mpi)
endif()
if(ldm_cuda_complete)
  list(APPEND CPACK_COMPONENTS_ALL cuda)
endif()
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION graphics)
set(CPACK_DEBIAN_COMPRESSION_TYPE gzip)
# In the packaging tree and, for what belongs to another package, where libtorch is now.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS "${LDM_LIBTORCH}/lib"
    "${ldm_torch_home}/nvidia/cu13/lib")
set(CPACK_DEBIAN_MAIN_PACKAGE_NAME ldm-gen)
set(CPACK_DEBIAN_MAIN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_MAIN_PACKAGE_SUGGESTS ldm-gen-mpi)
set(CPACK_DEBIAN_MPI_PACKAGE_NAME ldm-gen-mpi)
set(CPACK_COMPONENT_MPI_DESCRIPTION "Training runs of ldm-gen on several processes under mpirun")
set(CPACK_DEBIAN_MPI_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_MPI_PACKAGE_DEPENDS "ldm-gen (= ${PROJECT_VERSION})")
set(CPACK_DEBIAN_CUDA_PACKAGE_NAME ldm-gen-cuda)
set(CPACK_COMPONENT_CUDA_DESCRIPTION "ldm-gen on NVIDIA GPUs")
set(CPACK_DEBIAN_CUDA_PACKAGE_DEPENDS "ldm-gen (= ${PROJECT_VERSION})")
include(CPack)
