# One static library a row of the layer table (src/README.md), from the row's folder.

# ldm_row(NAME [FOLDER DIR] [ONLY stems…] [EXCLUDE stems…] [LIBRARIES …]
#         [PRECOMPILE headers… | PRECOMPILE_FROM target])
# Adds ldm_NAME from src/FOLDER/*.cpp (default FOLDER: NAME), ONLY or without the named files.
function(ldm_row name)
  cmake_parse_arguments(ROW "" "FOLDER;PRECOMPILE_FROM" "ONLY;EXCLUDE;LIBRARIES;PRECOMPILE"
                        ${ARGN})
  if(NOT ROW_FOLDER)
    set(ROW_FOLDER ${name})
  endif()
  if(ROW_ONLY)
    list(TRANSFORM ROW_ONLY REPLACE "(.+)" "${PROJECT_SOURCE_DIR}/src/${ROW_FOLDER}/\\1.cpp"
         OUTPUT_VARIABLE sources)
  else()
    file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/${ROW_FOLDER}/*.cpp")
    foreach(stem ${ROW_EXCLUDE})
      list(REMOVE_ITEM sources "${PROJECT_SOURCE_DIR}/src/${ROW_FOLDER}/${stem}.cpp")
    endforeach()
  endif()
  add_library(ldm_${name} STATIC ${sources})
  target_include_directories(ldm_${name} PUBLIC "${PROJECT_SOURCE_DIR}/include")
  target_link_libraries(ldm_${name} PUBLIC ${ROW_LIBRARIES} PRIVATE ldm_warnings)
  if(ROW_PRECOMPILE)
    target_precompile_headers(ldm_${name} PRIVATE ${ROW_PRECOMPILE})
  elseif(ROW_PRECOMPILE_FROM)
    target_precompile_headers(ldm_${name} REUSE_FROM ${ROW_PRECOMPILE_FROM})
  endif()
endfunction()

# ldm_generate_version(TARGET): LDM_VERSION and LDM_BUILD for src/core/version.cpp only.
function(ldm_generate_version target)
  execute_process(COMMAND git describe --always --dirty WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
                  OUTPUT_VARIABLE revision OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  set_source_files_properties("${PROJECT_SOURCE_DIR}/src/core/version.cpp" PROPERTIES
    COMPILE_DEFINITIONS "LDM_VERSION=\"${PROJECT_VERSION}\";LDM_REVISION=\"${revision}\"")
endfunction()

# ldm_program(NAME SOURCE LIBRARIES …): an executable in bin/.
function(ldm_program name source)
  cmake_parse_arguments(PROGRAM "" "" "LIBRARIES" ${ARGN})
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE ${PROGRAM_LIBRARIES} ldm_warnings)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
endfunction()
