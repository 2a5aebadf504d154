# Turns files into a C++ source, so that a program carries them. No tool but CMake is needed.
#
#   itemcrop_embed_files(NAME entries... )
#
# An entry is "ROUTE|FILE|CONTENT TYPE" (text is said to be UTF-8); FILE is relative to the calling folder. Sets NAME to a source
# that defines, for src/service/web/embedded_files.h,
#   std::span<const EmbeddedFile> itemcrop::service::embedded_files()
# It is written anew at build time when one of the files changes.

set(embed_files_script ${CMAKE_CURRENT_LIST_FILE})

function(itemcrop_embed_files name)
  set(output ${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp)
  set(files "")
  foreach(entry IN LISTS ARGN)
    string(REPLACE "|" ";" parts "${entry}")
    list(GET parts 1 file)
    list(APPEND files ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  endforeach()
  add_custom_command(OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} "-DENTRIES=${ARGN}" -DFOLDER=${CMAKE_CURRENT_SOURCE_DIR}
      -DOUTPUT=${output} -P ${embed_files_script}
    DEPENDS ${files} ${embed_files_script} VERBATIM
    COMMENT "Embedding ${name}")
  set(${name} ${output} PARENT_SCOPE)
endfunction()

if(NOT CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  return()
endif()

set(arrays "")
set(table "")
set(index 0)
foreach(entry IN LISTS ENTRIES)
  string(REPLACE "|" ";" parts "${entry}")
  list(GET parts 0 route)
  list(GET parts 1 file)
  list(GET parts 2 type)
  if(type MATCHES "^text/")
    string(APPEND type ";" " charset=utf-8")
  endif()
  file(READ ${FOLDER}/${file} hex HEX)
  file(SHA256 ${FOLDER}/${file} digest)
  string(SUBSTRING ${digest} 0 32 digest)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(APPEND arrays "const unsigned char k${index}[] = {${bytes}};  // ${file}\n")
  string(APPEND table "    {\"${route}\", \"${type}\", \"\\\"${digest}\\\"\", text(k${index})},\n")
  math(EXPR index "${index} + 1")
endforeach()
file(WRITE ${OUTPUT} "// Made by cmake/embed_files.cmake.
#include \"service/web/embedded_files.h\"

#include <cstddef>

namespace itemcrop::service {
namespace {

${arrays}
template <std::size_t N>
std::string_view text(const unsigned char (&bytes)[N]) {
  return {reinterpret_cast<const char*>(bytes), N};
}

}  // namespace

std::span<const EmbeddedFile> embedded_files() {
  static const EmbeddedFile files[] = {
${table}  };
  return files;
}

}  // namespace itemcrop::service
")
