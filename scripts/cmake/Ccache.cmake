# Compiles through ccache where it is installed. Precompiled headers need the sloppiness, and g++'s
# -fpch-preprocess, to hit.
find_program(LDM_CCACHE ccache)
mark_as_advanced(LDM_CCACHE)
if(LDM_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros "${LDM_CCACHE}")
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
endif()
