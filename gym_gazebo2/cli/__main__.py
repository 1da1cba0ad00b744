"""``python -m gym_gazebo2.cli``: the command line, also where the script ``gym-gazebo2`` is not on the PATH."""

import sys

from gym_gazebo2.cli import main

if __name__ == "__main__":
    sys.exit(main())
