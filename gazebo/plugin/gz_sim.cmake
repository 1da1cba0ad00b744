# The adapter for gz-sim: Fortress (6), Harmonic (8), Ionic (9) or Jetty (10), whose packages are named ignition-gazebo6,
# gz-sim8, gz-sim9 and gz-sim. Fortress has the headers gz/sim from 6.15 on, and the names gz-sim in worlds from 6.16 on.
set(GZ_SIM_MAJOR "10" CACHE STRING "Major version of gz-sim")
set(GZ_SIM_PREFIX "" CACHE PATH "Prefix that it is installed in, where CMake does not search by itself")
list(APPEND CMAKE_PREFIX_PATH "${GZ_SIM_PREFIX}")
# Major version of gz-sim → names and major versions of its packages gz-sim and gz-plugin.
set(packages_6 "ignition-gazebo6" "ignition-plugin1")
set(packages_8 "gz-sim8" "gz-plugin2")
set(packages_9 "gz-sim9" "gz-plugin3")
set(packages_10 "gz-sim 10" "gz-plugin 4")
if(NOT DEFINED packages_${GZ_SIM_MAJOR})
  message(FATAL_ERROR "The adapter was not written for gz-sim ${GZ_SIM_MAJOR}. It knows 6, 8, 9 and 10.")
endif()
set(targets "")
foreach(name_version IN LISTS packages_${GZ_SIM_MAJOR})
  separate_arguments(name_version)
  list(POP_FRONT name_version package)
  find_package(${package} ${name_version} QUIET)
  if(NOT ${package}_FOUND)
    message(FATAL_ERROR "CMake does not find ${package} ${name_version}. Install the headers of gz-sim (on Ubuntu "
      "libgz-sim${GZ_SIM_MAJOR}-dev, or libignition-gazebo6-dev of Fortress; from conda-forge gz-sim${GZ_SIM_MAJOR}).")
  endif()
  list(APPEND targets "${package}")
endforeach()
list(GET targets 0 sim)
list(GET targets 1 plugin)

add_library(gym_gazebo2_plugin SHARED gz_sim_plugin.cpp gz_sim_arm.cpp gz_sim_body.cpp gz_sim_objects.cpp)
if(GZ_SIM_MAJOR EQUAL 6)
  target_compile_options(gym_gazebo2_plugin PRIVATE -include gz_sim_fortress.hpp)
endif()
target_link_libraries(gym_gazebo2_plugin PRIVATE
  gym_gazebo2_core "${sim}::core" "${plugin}::register" ${CMAKE_DL_LIBS})
