# itemcrop_find_python(VARIABLE MODULES...): a Python that has the modules, and any Python where
# none has. Debian's packages belong to /usr/bin's, and one's own often comes first on the path.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
function(itemcrop_find_python variable)
  list(JOIN ARGN ", " modules)
  foreach(candidate /usr/bin/python3 ${Python3_EXECUTABLE})
    execute_process(COMMAND ${candidate} -c "import ${modules}"
      RESULT_VARIABLE problem OUTPUT_QUIET ERROR_QUIET)
    if(problem EQUAL 0)
      set(${variable} ${candidate} PARENT_SCOPE)
      return()
    endif()
  endforeach()
  set(${variable} ${Python3_EXECUTABLE} PARENT_SCOPE)
endfunction()
