# module(NAME <folder> SOURCES … [TESTS …] [DEPENDS <module> …] [LIBRARIES <target> …])
#
# Declares one folder of src/ as a static library, its unit tests as one program (linking is what
# costs), and the modules it may use. The declaration is also what scripts/check_layers.py reads: an
# #include of a module that is not named in DEPENDS fails CI.
function(module)
  cmake_parse_arguments(M "" "NAME" "SOURCES;TESTS;DEPENDS;LIBRARIES" ${ARGN})
  string(REPLACE "/" "_" target ${M_NAME})
  set(lib perdure_${target})
  add_library(${lib} STATIC ${M_SOURCES})
  target_include_directories(${lib} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(${lib} PUBLIC perdure_boost fmt::fmt ${M_LIBRARIES})
  foreach(dependency ${M_DEPENDS})
    string(REPLACE "/" "_" dependency ${dependency})
    target_link_libraries(${lib} PUBLIC perdure_${dependency})
  endforeach()
  precompile(${lib} perdure_async precompiled.h)
  if(M_TESTS AND PERDURE_TESTS)
    add_executable(${target}_test ${M_TESTS})
    target_link_libraries(${target}_test PRIVATE ${lib} GTest::gmock GTest::gtest_main)
    precompile(${target}_test http_test precompiled_test.h)
    add_test(NAME ${M_NAME} COMMAND ${target}_test)
  endif()
endfunction()

# precompile(<target> <first> <header>): every target uses the header as the first one compiled it.
# Only those that link Asio, whose variables come with its header.
function(precompile target first header)
  if(NOT PERDURE_PRECOMPILE OR NOT "async" IN_LIST M_DEPENDS AND NOT M_NAME STREQUAL "async")
    return()
  elseif(target STREQUAL first)
    target_precompile_headers(${target} PRIVATE ${CMAKE_SOURCE_DIR}/cmake/${header})
  else()
    target_precompile_headers(${target} REUSE_FROM ${first})
  endif()
endfunction()
