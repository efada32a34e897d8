# Libraries, all Debian 12 packages (scripts/setup.sh installs them).

find_package(Boost 1.81 REQUIRED COMPONENTS json url system)
find_package(OpenSSL 3 REQUIRED)
find_package(SQLite3 3.40 REQUIRED)
find_package(PostgreSQL 15 REQUIRED)
find_package(fmt REQUIRED)
find_package(Threads REQUIRED)

# Snowball's stemmers, which come without a file for CMake.
find_path(STEMMER_INCLUDE libstemmer.h REQUIRED)
find_library(STEMMER_LIBRARY stemmer REQUIRED)
add_library(Stemmer::Stemmer UNKNOWN IMPORTED)
set_target_properties(Stemmer::Stemmer PROPERTIES
  IMPORTED_LOCATION ${STEMMER_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${STEMMER_INCLUDE})

# Asio and Beast are compiled once, in src/async/boost_impl.cc: their inline form costs 15 s a file.
add_library(perdure_boost INTERFACE)
target_link_libraries(perdure_boost INTERFACE Boost::headers Boost::json Boost::url Boost::system Threads::Threads)
target_compile_definitions(perdure_boost INTERFACE
  BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION
  BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_HAS_CO_AWAIT)

if(PERDURE_TESTS)
  find_package(GTest REQUIRED)
endif()
