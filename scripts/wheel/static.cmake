# For the libraries that a wheel is linked from: each looks for the others as archives.
set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
