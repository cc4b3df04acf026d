# cmake -D OUTPUT=FILE -D INPUTS=A:B -P embed.cmake: writes the files as arrays of bytes, each named
# after its file (index.html: index_html).
string(REPLACE ":" ";" inputs "${INPUTS}")
set(text "// Made by cmake/embed.cmake.\n")
foreach(input IN LISTS inputs)
  cmake_path(GET input FILENAME name)
  string(MAKE_C_IDENTIFIER ${name} name)
  file(READ ${input} bytes HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  string(APPEND text "constexpr unsigned char ${name}[] = {${bytes}};\n")
endforeach()
file(WRITE ${OUTPUT} "${text}")
