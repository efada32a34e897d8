# The compiler and its flags.

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14)
  message(FATAL_ERROR
    "g++ ${CMAKE_CXX_COMPILER_VERSION} miscompiles temporaries in co_await expressions (double frees). "
    "Use clang++-19, which is in Debian 12: cmake --preset release")
endif()

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

option(PERDURE_PRECOMPILE "Compile other people's headers once" OFF)
if(PERDURE_PRECOMPILE)
  set(CMAKE_PCH_INSTANTIATE_TEMPLATES ON)
  add_compile_options("SHELL:-Xclang -fno-pch-timestamp")  # which no cache could know
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()

add_compile_options(-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough
                    -Wno-missing-field-initializers)
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -gline-tables-only -D_GLIBCXX_ASSERTIONS")
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -gline-tables-only -D_FORTIFY_SOURCE=2 -D_GLIBCXX_ASSERTIONS -fstack-protector-strong")

find_program(LLD ld.lld-19)
if(LLD)
  add_link_options(-fuse-ld=lld-19)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_link_options($<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-pie> -Wl,-z,relro,-z,now)
endif()

set(PERDURE_SANITIZE "" CACHE STRING "Sanitizers, e.g. address,undefined")
if(PERDURE_SANITIZE)
  if(PERDURE_SANITIZE MATCHES "address" AND NOT PERDURE_FUZZ)
    # Compiled in 40 % of the time of -O1, which pays for tests that run a little longer.
    string(REPLACE "-O1" "-O0" CMAKE_CXX_FLAGS_DEBUG "${CMAKE_CXX_FLAGS_DEBUG}")
  endif()
  add_compile_options(-fsanitize=${PERDURE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${PERDURE_SANITIZE})
endif()

# Run-time switches that misbehave on purpose (src/base/planted_bug.h): for tests of the tests only.
option(PERDURE_PLANTED_BUGS "Compile the planted bugs in" OFF)
if(PERDURE_PLANTED_BUGS)
  add_compile_definitions(PERDURE_PLANTED_BUGS)
endif()
