# The adapter for Gazebo 11. Only headers are searched: Gazebo's own libraries are in its process already.
set(GAZEBO_PREFIX "/" CACHE PATH "Folder that stands for the root folder of Gazebo's packages")
set(GAZEBO_HINTS "${GAZEBO_PREFIX}/usr")
set(GAZEBO_INCLUDES "")
set(SDFORMATS "")
foreach(prefix IN LISTS GAZEBO_HINTS CMAKE_PREFIX_PATH CMAKE_SYSTEM_PREFIX_PATH)
  file(GLOB folders RELATIVE "${prefix}/include" "${prefix}/include/sdformat-9.*")
  list(APPEND SDFORMATS ${folders})
endforeach()
string(REPLACE ";" " " SDFORMATS "${SDFORMATS}")
foreach(spec IN ITEMS
    "gazebo/gazebo.hh|gazebo-11" 
    "sdf/sdf.hh|${SDFORMATS}"
    "ignition/math.hh|ignition/math6" "ignition/msgs.hh|ignition/msgs5" "ignition/transport.hh|ignition/transport8"
    "ignition/common.hh|ignition/common3" "ignition/fuel_tools.hh|ignition/fuel_tools4"
    "google/protobuf/message.h|." "boost/shared_ptr.hpp|." "tbb/tbb.h|.")
  string(REPLACE "|" ";" spec "${spec}")
  list(GET spec 0 header)
  list(GET spec 1 suffixes)
  string(REPLACE " " ";" suffixes "${suffixes}")
  list(TRANSFORM suffixes PREPEND "include/")
  find_path(found "${header}" HINTS ${GAZEBO_HINTS} PATH_SUFFIXES ${suffixes} NO_CACHE)
  if(NOT found)
    message(FATAL_ERROR "The header <${header}> is missing below ${GAZEBO_HINTS}. Install Gazebo's headers (libgazebo-dev).")
  endif()
  list(APPEND GAZEBO_INCLUDES "${found}")
  unset(found)
endforeach()
list(APPEND GAZEBO_INCLUDES "${GAZEBO_PREFIX}/usr/include/gazebo-11/gazebo")
list(REMOVE_DUPLICATES GAZEBO_INCLUDES)

add_library(gym_gazebo2_plugin SHARED gazebo11_plugin.cpp gazebo11_arm.cpp gazebo11_axis.cpp gazebo11_objects.cpp)
target_compile_definitions(gym_gazebo2_plugin PRIVATE TBB_SUPPRESS_DEPRECATED_MESSAGES=1)
target_include_directories(gym_gazebo2_plugin SYSTEM PRIVATE ${GAZEBO_INCLUDES})
target_link_libraries(gym_gazebo2_plugin PRIVATE gym_gazebo2_core)
