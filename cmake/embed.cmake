# log_aggregator_embed(OUTPUT FILES...): writes the files as arrays of bytes, each named after its
# file (index.html: index_html). Done when configuring, so that the output is there without a build;
# a change of a file configures anew.
function(log_aggregator_embed output)
  set(text "// Made by cmake/embed.cmake.\n")
  foreach(file IN LISTS ARGN)
    cmake_path(GET file FILENAME name)
    string(MAKE_C_IDENTIFIER ${name} name)
    file(READ ${file} bytes HEX)
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
    string(APPEND text "constexpr unsigned char ${name}[] = {${bytes}};\n")
  endforeach()
  file(CONFIGURE OUTPUT ${output} CONTENT "${text}" @ONLY)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${ARGN})
endfunction()
