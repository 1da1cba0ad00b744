# The simulated adapter of the tests: joints that move by themselves, without a simulator.
add_executable(gym_gazebo2_servo "${CMAKE_CURRENT_LIST_DIR}/servo.cpp")
target_link_libraries(gym_gazebo2_servo PRIVATE gym_gazebo2_core)
