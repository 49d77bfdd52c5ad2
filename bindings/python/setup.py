"""Builds the wheel.

With IBT_BUNDLE=/path/to/libibt.so.0 in the environment the wheel contains that library, and is for its platform only.
Without, the package looks for an installed libibt when it is imported.
"""

import os
import shutil

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

try:
    from setuptools.command.bdist_wheel import bdist_wheel  # setuptools 70.1 and newer
except ImportError:
    try:
        from wheel.bdist_wheel import bdist_wheel
    except ImportError:
        bdist_wheel = None

library = os.environ.get("IBT_BUNDLE")
commands = {}

if library:

    class BuildWithLibrary(build_py):
        def run(self):
            super().run()
            shutil.copyfile(library, os.path.join(self.build_lib, "ibt", "libibt.so.0"))

    commands["build_py"] = BuildWithLibrary

if library and bdist_wheel is not None:

    class WheelWithLibrary(bdist_wheel):
        """ctypes loads the library, so that the wheel serves every Python 3 of its platform."""

        def get_tag(self):
            return "py3", "none", super().get_tag()[2]

    commands["bdist_wheel"] = WheelWithLibrary


class Package(Distribution):
    def has_ext_modules(self):
        """The library counts as an extension module: the wheel is for one platform."""
        return bool(library)


setup(cmdclass=commands, distclass=Package)
