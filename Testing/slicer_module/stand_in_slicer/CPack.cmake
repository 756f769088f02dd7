message(STATUS "CPACK")
