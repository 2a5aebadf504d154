# Run by ctest with build, source, work, compiler and generator defined; any failure stops it with the output.
set(prefix "${work}/prefix")
file(REMOVE_RECURSE "${prefix}" "${work}/examples" "${work}/snippet")

# Away from the source tree, where nothing is found that was not installed.
function(run)
  execute_process(COMMAND ${ARGN} WORKING_DIRECTORY "${work}" RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE out)
  if(NOT status EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\nended with ${status}:\n${out}")
  endif()
  set(output "${out}" PARENT_SCOPE)
endfunction()

# "sudo cmake --install" leaves one that only root may write to.
file(REMOVE "${build}/install_manifest.txt")
run(${CMAKE_COMMAND} --install "${build}" --prefix "${prefix}")
foreach(file bin/itemcrop include/itemcrop/itemcrop.h include/itemcrop/version.h share/itemcrop/models/wardrobe/config.json
    share/itemcrop/models/wardrobe/model.safetensors share/man/man1/itemcrop.1
    share/bash-completion/completions/itemcrop share/doc/itemcrop/LICENSE
    share/doc/itemcrop/THIRD_PARTY.md)
  if(NOT EXISTS "${prefix}/${file}")
    message(FATAL_ERROR "The installation lacks ${file}.")
  endif()
endforeach()

run(${CMAKE_COMMAND} -G "${generator}" -S "${source}/examples/cpp" -B "${work}/examples"
  "-DCMAKE_PREFIX_PATH=${prefix}" "-DCMAKE_CXX_COMPILER=${compiler}" -DCMAKE_BUILD_TYPE=Release)
run(${CMAKE_COMMAND} --build "${work}/examples")

# An empty white image holds no hat; a wrong link or a broken model would say something else.
string(REPEAT "~" 30000 pixels)
file(WRITE "${work}/white.ppm" "P6\n100 100\n255\n${pixels}")
foreach(model "${prefix}/share/itemcrop/models/wardrobe" wardrobe)
  run("${work}/examples/detect" "${model}" "${work}/white.ppm" hat)
  if(NOT output STREQUAL "no hat\n")
    message(FATAL_ERROR "The example printed: ${output}")
  endif()
endforeach()

# README's program, as it stands there.
file(READ "${source}/README.md" readme)
string(REGEX MATCH "```cpp\n([^`]*)```" block "${readme}")
if(block STREQUAL "")
  message(FATAL_ERROR "README.md has no C++.")
endif()
file(WRITE "${work}/snippet/main.cpp" "#include <cstdint>
#include <cstdio>
#include <vector>
#include <itemcrop/itemcrop.h>
int main() {
  const std::vector<std::uint8_t> white(30000, 255);
  const std::uint8_t* pixels = white.data();
  const int width = 100, height = 100;
${CMAKE_MATCH_1}
}
")
file(WRITE "${work}/snippet/CMakeLists.txt" "cmake_minimum_required(VERSION 3.25)
project(snippet LANGUAGES CXX)
find_package(itemcrop REQUIRED)
add_executable(snippet main.cpp)
target_link_libraries(snippet PRIVATE itemcrop::itemcrop)
")
run(${CMAKE_COMMAND} -G "${generator}" -S "${work}/snippet" -B "${work}/snippet/build"
  "-DCMAKE_PREFIX_PATH=${prefix}" "-DCMAKE_CXX_COMPILER=${compiler}")
run(${CMAKE_COMMAND} --build "${work}/snippet/build")
run("${work}/snippet/build/snippet")
if(NOT output STREQUAL "")
  message(FATAL_ERROR "README's program printed: ${output}")
endif()

run("${prefix}/bin/itemcrop" --version)
