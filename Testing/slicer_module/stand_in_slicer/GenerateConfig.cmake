# Slicer writes the description of the extension from these.
foreach(_name HOMEPAGE CATEGORY CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  if("${EXTENSION_${_name}}" STREQUAL "")
    message(FATAL_ERROR "EXTENSION_${_name} is not set")
  endif()
  message(STATUS "EXTENSION_${_name} ${EXTENSION_${_name}}")
endforeach()
