# LDM_SANITIZE: a -fsanitize list for all of the project's code ("address,undefined").
# LDM_FUZZ: build the libFuzzer targets in tests/fuzz (clang only).
set(LDM_SANITIZE "" CACHE STRING "Value for -fsanitize= (empty: none)")
option(LDM_FUZZ "Build the libFuzzer targets (clang)" OFF)
if(LDM_SANITIZE)
  add_compile_options(-fsanitize=${LDM_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${LDM_SANITIZE})
endif()
