"""``python -m gym_gazebo2.cli``: the command line where its script is not on the path."""

import sys

from gym_gazebo2.cli import main

if __name__ == "__main__":
    sys.exit(main())
