# Warnings for the project's own code; libtorch's headers are SYSTEM includes.
add_library(ldm_warnings INTERFACE)
target_compile_options(ldm_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wnon-virtual-dtor>)
# GCC 12 warns of overlapping copies inside std::string's own operators (GCC bug 105651).
target_compile_options(ldm_warnings INTERFACE
  $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-restrict>)
option(LDM_WERROR "Treat warnings as errors" OFF)
if(LDM_WERROR)
  target_compile_options(ldm_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()
