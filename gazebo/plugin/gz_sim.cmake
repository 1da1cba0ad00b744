# The adapter for gz-sim: Harmonic (8), Ionic (9) or Jetty (10), whose packages are named gz-sim8, gz-sim9 and gz-sim.
set(GZ_SIM_MAJOR "10" CACHE STRING "Major version of gz-sim")
set(GZ_SIM_PREFIX "" CACHE PATH "Prefix that it is installed in, where CMake does not search by itself")
list(APPEND CMAKE_PREFIX_PATH "${GZ_SIM_PREFIX}")
foreach(library IN ITEMS gz-sim gz-plugin)
  # gz-plugin's major versions differ from gz-sim's: 2 in Harmonic, 3 in Ionic, 4 in Jetty.
  set(major "${GZ_SIM_MAJOR}")
  if(library STREQUAL "gz-plugin")
    math(EXPR major "${GZ_SIM_MAJOR} - 6")
  endif()
  if(GZ_SIM_MAJOR LESS 10)
    set(package "${library}${major}")
    set(version "")
  else()
    set(package "${library}")
    set(version "${major}")
  endif()
  find_package(${package} ${version} QUIET)
  if(NOT ${package}_FOUND)
    message(FATAL_ERROR "CMake does not find ${package} ${version}. Install the headers of gz-sim (libgz-sim${GZ_SIM_MAJOR}-dev, "
      "or gz-sim${GZ_SIM_MAJOR} from conda-forge).")
  endif()
  set(${library}_target "${package}")
endforeach()

add_library(gym_gazebo2_plugin SHARED gz_sim_plugin.cpp gz_sim_arm.cpp)
target_link_libraries(gym_gazebo2_plugin PRIVATE
  gym_gazebo2_core "${gz-sim_target}::core" "${gz-plugin_target}::register" ${CMAKE_DL_LIBS})
