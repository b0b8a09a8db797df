"""Build and install the Slicer extension without Slicer.

    python Testing/install_tree.py [FOLDER]        # creates FOLDER/build and FOLDER/install

CMake itself configures, builds and installs; only Slicer's CMake package is replaced by a test double. It copies files
where Slicer does: scripts and resources with their relative paths into the scripted modules' folder of the build
tree, which is installed as a whole; a scripted CLI and its XML into the CLI modules' folder.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPTED, CLI = "lib/Slicer-5.10/qt-scripted-modules", "lib/Slicer-5.10/cli-modules"

SLICER_CONFIG = f"""
set(Slicer_USE_FILE "${{CMAKE_CURRENT_LIST_DIR}}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${{CMAKE_CURRENT_LIST_DIR}}/GenerateConfig.cmake")
set(Slicer_EXTENSION_CPACK "${{CMAKE_CURRENT_LIST_DIR}}/CPack.cmake")
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "{SCRIPTED}")
set(Slicer_CLIMODULES_BIN_DIR "{CLI}")
"""

USE_SLICER = """
include(CTest)
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR "./${Slicer_QTSCRIPTEDMODULES_LIB_DIR}")
set(Slicer_INSTALL_QTSCRIPTEDMODULES_SHARE_DIR "./share/Slicer-5.10/qt-scripted-modules")
set(Slicer_INSTALL_CLIMODULES_BIN_DIR "./${Slicer_CLIMODULES_BIN_DIR}")

function(_copy target source_dir destination_dir)
  set(copies)
  foreach(file IN LISTS ARGN)
    if(IS_ABSOLUTE "${file}" OR file MATCHES "\\\\.\\\\.")
      message(FATAL_ERROR "'${file}' would land outside of ${destination_dir}.")
    endif()
    if(NOT EXISTS "${source_dir}/${file}" OR IS_DIRECTORY "${source_dir}/${file}")
      message(FATAL_ERROR "'${file}' is listed and does not exist.")
    endif()
    add_custom_command(OUTPUT "${destination_dir}/${file}" DEPENDS "${source_dir}/${file}"
      COMMAND ${CMAKE_COMMAND} -E copy "${source_dir}/${file}" "${destination_dir}/${file}" VERBATIM)
    list(APPEND copies "${destination_dir}/${file}")
  endforeach()
  add_custom_target(${target} ALL DEPENDS ${copies})
endfunction()

function(ctkMacroCompilePythonScript)
  cmake_parse_arguments(MY "NO_INSTALL_SUBDIR" "TARGET_NAME;SOURCE_DIR;DESTINATION_DIR;INSTALL_DIR"
    "SCRIPTS;RESOURCES" ${ARGN})
  if(NOT MY_TARGET_NAME OR NOT MY_SCRIPTS OR NOT MY_DESTINATION_DIR OR NOT MY_INSTALL_DIR OR MY_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "ctkMacroCompilePythonScript: missing or unknown arguments.")
  endif()
  if(NOT MY_SOURCE_DIR)
    set(MY_SOURCE_DIR "${CMAKE_CURRENT_SOURCE_DIR}")
  endif()
  _copy(Copy${MY_TARGET_NAME}PythonFiles "${MY_SOURCE_DIR}" "${MY_DESTINATION_DIR}" ${MY_SCRIPTS} ${MY_RESOURCES})
  if(MY_NO_INSTALL_SUBDIR)
    string(APPEND MY_DESTINATION_DIR "/")
  endif()
  install(DIRECTORY "${MY_DESTINATION_DIR}" DESTINATION "${MY_INSTALL_DIR}" COMPONENT RuntimeLibraries)
endfunction()

function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY "WITH_GENERIC_TESTS" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(NOT MY_NAME OR MY_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule: missing or unknown arguments.")
  endif()
  ctkMacroCompilePythonScript(TARGET_NAME ${MY_NAME} SCRIPTS ${MY_SCRIPTS} RESOURCES ${MY_RESOURCES}
    DESTINATION_DIR "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}"
    INSTALL_DIR "${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}" NO_INSTALL_SUBDIR)
  if(BUILD_TESTING AND MY_WITH_GENERIC_TESTS)
    add_test(NAME py_nomainwindow_qSlicer${MY_NAME}ModuleGenericTest COMMAND ${CMAKE_COMMAND} -E true)
  endif()
endfunction()

function(slicerMacroBuildScriptedCLI)
  cmake_parse_arguments(MY "" "NAME" "" ${ARGN})
  if(NOT MY_NAME OR MY_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "slicerMacroBuildScriptedCLI: missing or unknown arguments.")
  endif()
  set(files ${MY_NAME}.py ${MY_NAME}.xml)
  _copy(${MY_NAME} "${CMAKE_CURRENT_SOURCE_DIR}" "${CMAKE_BINARY_DIR}/${Slicer_CLIMODULES_BIN_DIR}" ${files})
  install(FILES ${files} DESTINATION "${Slicer_INSTALL_CLIMODULES_BIN_DIR}" COMPONENT Runtime)
endfunction()

function(slicer_add_python_unittest)
  cmake_parse_arguments(MY "" "SCRIPT;TESTNAME_PREFIX" "SLICER_ARGS" ${ARGN})
  get_filename_component(name "${MY_SCRIPT}" NAME_WE)
  add_test(NAME py_${MY_TESTNAME_PREFIX}${name} COMMAND ${CMAKE_COMMAND} -E true)
endfunction()
"""

GENERATE_CONFIG = """
foreach(name HOMEPAGE CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  if("${EXTENSION_${name}}" STREQUAL "")
    message(FATAL_ERROR "EXTENSION_${name} is missing.")
  endif()
endforeach()
"""

CPACK = """
foreach(name EXTENSION_README_FILE EXTENSION_LICENSE_FILE)
  if(NOT EXISTS "${${name}}")
    message(FATAL_ERROR "${name} does not exist.")
  endif()
endforeach()
"""


@dataclass(frozen=True)
class Trees:
    build: Path
    installed: Path
    tests: tuple[str, ...]  # names of the tests that ctest runs

    def modules(self, tree: str) -> Path:
        """The folder of scripted modules, which Slicer adds to its Python path."""
        return getattr(self, tree) / SCRIPTED


def missing_tool() -> str | None:
    """The reason why the extension cannot be built on this machine, if any."""
    if not shutil.which("cmake"):
        return "cmake is not installed"
    if not (shutil.which("ninja") or shutil.which("make")):
        return "neither ninja nor make is installed"
    return None


def install_extension(folder: Path) -> Trees:
    """Configure, build and install into ``folder``. Raises RuntimeError with the output of CMake."""
    package, build, installed = folder / "slicer", folder / "build", folder / "install"
    package.mkdir(parents=True, exist_ok=True)
    for name, text in (("SlicerConfig", SLICER_CONFIG), ("UseSlicer", USE_SLICER),
                       ("GenerateConfig", GENERATE_CONFIG), ("CPack", CPACK)):  # fmt: skip
        (package / f"{name}.cmake").write_text(text, encoding="utf-8")
    # Nothing is compiled, so no compiler is needed.
    compilers = [f"-DCMAKE_{x}_COMPILER{y}" for x in ("C", "CXX")
                 for y in (f"={shutil.which('cmake')}", "_FORCED=1", "_ID_RUN=1", "_WORKS=1")]  # fmt: skip
    generator = ["-G", "Ninja" if shutil.which("ninja") else "Unix Makefiles"]
    _run("cmake", *generator, "-S", ROOT, "-B", build, f"-DSlicer_DIR={package}", *compilers)
    _run("cmake", "--build", build)
    _run("cmake", "--install", build, "--prefix", installed)
    tests = re.findall(r"Test\s+#\d+: (\S+)", _run("ctest", "-N", cwd=build))
    return Trees(build, installed, tuple(tests))


def cmake_lists(path: Path) -> dict[str, list[str]]:
    """The values of the set() commands of a CMakeLists.txt by variable name."""
    text = re.sub(r"(?m)^\s*#.*$", "", path.read_text(encoding="utf-8"))
    commands = re.findall(r'\bset\(\s*(\w+)((?:\s+(?:"[^"]*"|[^\s()"]+))*)\s*\)', text)
    return {name: [a or b for a, b in re.findall(r'"([^"]*)"|([^\s"]+)', values)] for name, values in commands}


def files(folder: Path) -> set[str]:
    """Relative paths of all files except Python's caches."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in names if "__pycache__" not in name}


def _run(*command: str | os.PathLike, cwd: Path | None = None) -> str:
    done = subprocess.run([os.fspath(c) for c in command], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    if missing_tool():
        sys.exit(f"The extension cannot be built here: {missing_tool()}.")
    trees = install_extension(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()).resolve())
    print(f"Build tree: {trees.build}\nTests: {', '.join(trees.tests)}\nInstalled: {trees.installed}")
    print(*sorted(files(trees.installed)), sep="\n")
